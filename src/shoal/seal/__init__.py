"""Encryption of everything that leaves a node: age v1 files, sealed to someone or recomputable by all who may read.

    seal, open_                  bytes for some recipients; opened by one identity
    seal_file, open_file         the same for files
    encrypt_deterministic        one secret, one label, one plaintext: always the same ciphertext, hence the same hash
    decrypt_deterministic        ... and nothing but that ciphertext is accepted
    derive_key, decrypt_with_key one object's key, for somebody who may read that object and no other
    seal_with_passphrase, ...    under a passphrase; armor, dearmor: as text
    pad_to, unpad, slot_bytes    objects of one size, whatever they hold

All of them are age files (https://age-encryption.org/v1, the C2SP specification `age.md`), so that any other age
program with the identity opens them: the browser does. age authenticates no sender: the hash of an object is in a
signed entry. Errors are CryptoError, SHOAL-K01 to K10.
"""

from __future__ import annotations

from shoal.seal.deterministic import decrypt_deterministic, derive_key, encrypt_deterministic
from shoal.seal.envelope import decrypt_with_key, open_, open_file, seal, seal_file
from shoal.seal.files import sha256_file
from shoal.seal.identity import check_recipient, new_identity, parse_recipient, recipient_of, recipient_text
from shoal.seal.passphrase import armor, dearmor, has_passphrase, open_with_passphrase, seal_with_passphrase
from shoal.seal.slots import pad_to, slot_bytes, unpad

__all__ = [
    "armor",
    "check_recipient",
    "dearmor",
    "decrypt_deterministic",
    "decrypt_with_key",
    "derive_key",
    "encrypt_deterministic",
    "has_passphrase",
    "new_identity",
    "open_",
    "open_file",
    "open_with_passphrase",
    "pad_to",
    "parse_recipient",
    "recipient_of",
    "recipient_text",
    "seal",
    "seal_file",
    "seal_with_passphrase",
    "sha256_file",
    "slot_bytes",
    "unpad",
]
