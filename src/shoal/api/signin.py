"""Signing in by wallet: a message that names this node and a number used once, signed by the account's key."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from hiero_sdk_python.hapi.services.basic_types_pb2 import SignatureMap

from shoal.api.access import Access, Caller, Session
from shoal.client.desk import Desk
from shoal.core.signatures import signed_message
from shoal.errors import UsageError

NONCE_S = 300.0
NONCES = 4_096
"""Open at once; the oldest go first."""
PAIRS = 8
"""Signatures looked at in one map."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a wallet is asked to sign."""

    account: str
    nonce: str
    message: str
    expires_s: float


class SignIn:
    """Challenges, and what they are exchanged for.

    Args:
        anyone: whether every account of the ledger may sign in, as on a gateway, or the node's own alone.
    """

    def __init__(self, desk: Desk, access: Access, *, anyone: bool, clock: Callable[[], float] = time.time) -> None:
        self._desk, self._access, self._anyone, self._clock = desk, access, anyone, clock
        self._open: OrderedDict[str, Challenge] = OrderedDict()

    def challenge(self, account: str, host: str) -> Challenge:
        """A message to sign, good for five minutes.

        Raises:
            UsageError: SHOAL-U85, this account may not.
        """
        settings = self._desk.settings
        if not self._anyone and account != self._desk.ledger.account:
            raise UsageError(
                "this node serves its own account only",
                code="SHOAL-U85",
                hint="sign in with the node's account, or on a gateway",
            )
        nonce, expires_s = secrets.token_hex(16), self._clock() + NONCE_S
        lines = {
            "node": host,
            "network": settings.network,
            "contract": settings.contract_id,
            "account": account,
            "nonce": nonce,
            "expires": str(int(expires_s)),
        }
        message = "\n".join(
            ["Sign in to shoal. This costs nothing and moves no money.", *(f"{k}: {v}" for k, v in lines.items())]
        )
        made = Challenge(account, nonce, message, expires_s)
        self._open[nonce] = made
        while len(self._open) > NONCES:
            self._open.popitem(last=False)
        return made

    async def session(self, account: str, nonce: str, *, signature: str | None, map_: bytes | None) -> Session:
        """Exchange a signed challenge for a session; a challenge is good for one try.

        Raises:
            UsageError: SHOAL-U81, no such challenge; U82, the signature does not fit; U83, no such account; U84, the
                account has no single key.
            LedgerError: the mirror node cannot be asked.
        """
        challenge = self._open.pop(nonce, None)
        if challenge is None or challenge.account != account or challenge.expires_s < self._clock():
            raise UsageError(
                "there is no such challenge for this account, or it was used or is too old",
                code="SHOAL-U81",
                hint="POST /api/v1/sign-in/nonce gives another",
            )
        key = await self._desk.ledger.key_of(account)
        if key is None:
            raise UsageError(
                f"account {account} has a key list, a threshold key or no key: one signature cannot speak for it",
                code="SHOAL-U84",
                hint="use an account with a single ED25519 or ECDSA key",
            )
        given = [bytes.fromhex(signature)] if signature is not None else list(_signatures(map_ or b"", key.data))
        if not any(signed_message(key.kind, key.data, challenge.message, each) for each in given):
            raise UsageError(
                f"the signature is not of the key of account {account} over this message",
                code="SHOAL-U82",
                hint="sign exactly `message`, with the key that the account has now",
            )
        address = await self._desk.ledger.address_of(account)
        return self._access.open(Caller("user", account, address))


def _signatures(data: bytes, key: bytes) -> Iterator[bytes]:
    """Those of a SignatureMap that may be a key's."""
    try:
        pairs = SignatureMap.FromString(data).sigPair
    except DecodeError:
        return
    for pair in list(pairs)[:PAIRS]:
        if key.startswith(pair.pubKeyPrefix):
            kind = pair.WhichOneof("signature")
            if kind in ("ed25519", "ECDSA_secp256k1"):
                yield bytes(getattr(pair, kind))
