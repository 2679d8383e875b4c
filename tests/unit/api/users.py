"""Users of a gateway in memory: accounts with keys of their own, who sign in as wallets do."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hiero_sdk_python.hapi.services.basic_types_pb2 import SignatureMap, SignaturePair

from shoal.core.codec import digest
from shoal.core.ids import Address, keccak256
from shoal.core.signatures import KeyKind, prefixed
from shoal.ports import AccountKey

from .desk import Api


@dataclass
class User:
    """One account of the ledger."""

    account: str
    key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey
    address: Address

    @classmethod
    def make(cls, account: str, kind: KeyKind = "ED25519", address: Address | None = None) -> User:
        key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey
        key = Ed25519PrivateKey.generate() if kind == "ED25519" else ec.generate_private_key(ec.SECP256K1())
        return cls(account, key, address or Address(digest(account.encode())[:20]))

    @property
    def public(self) -> AccountKey:
        if isinstance(self.key, Ed25519PrivateKey):
            return AccountKey("ED25519", self.key.public_key().public_bytes_raw())
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        return AccountKey("ECDSA_SECP256K1", point)

    def sign(self, data: bytes) -> bytes:
        """As Hedera's keys do."""
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(data)
        r, s = decode_dss_signature(self.key.sign(keccak256(data), ec.ECDSA(Prehashed(SHA256()))))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def map_b64(self, message: str) -> str:
        """What WalletConnect answers."""
        public, signature = self.public, self.sign(prefixed(message))
        pair = (
            SignaturePair(pubKeyPrefix=public.data, ed25519=signature)
            if public.kind == "ED25519"
            else SignaturePair(pubKeyPrefix=public.data[:8], ECDSA_secp256k1=signature)
        )
        return base64.b64encode(SignatureMap(sigPair=[pair]).SerializeToString()).decode()

    async def sign_in(self, it: Api) -> dict[str, str]:
        """The header of a session."""
        it.desk.ledger.accounts[self.account] = (self.address, self.public)
        challenge = await nonce(it, self.account)
        wish = {"account": self.account, "nonce": challenge["nonce"]}
        wish["signature_map_b64"] = self.map_b64(challenge["message"])
        answer = await it.http.post("/api/v1/sign-in", json=wish)
        assert answer.status_code == 201, answer.text
        return {"Authorization": f"Bearer {answer.json()['token']}"}


async def nonce(it: Api, account: str) -> dict[str, str]:
    answer: httpx.Response = await it.http.post("/api/v1/sign-in/nonce", json={"account": account})
    assert answer.status_code == 201, answer.text
    found: dict[str, str] = answer.json()
    return found
