"""A node's secrets: its signing key and age identity, made once and never replaced; and the operator's key."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shoal import seal
from shoal.core import limits
from shoal.errors import ConfigError, CryptoError, UsageError
from shoal.redact import know

SIGNING_FILE = "node.key"
AGE_FILE = "age.key"
_FILE_BYTES = 4_096
_PUBLIC = re.compile(rb"^# public key: ([0-9a-f]{64})$", re.MULTILINE)
_RESTORE = "restore the directory from a backup; without one, move it away, and a new identity will be made"


class FileKeys:
    """The `Keys` port over a directory.

    >>> keys = FileKeys.load(Path("keys"))  # doctest: +SKIP
    >>> len(keys.signing_key), len(keys.sign(b"entry"))  # doctest: +SKIP
    (32, 64)
    """

    __slots__ = ("_identity", "_signer", "recipient", "signing_key")

    def __init__(self, signer: Ed25519PrivateKey, identity: str) -> None:
        self._signer, self._identity = signer, identity
        know(identity, signer.private_bytes_raw())
        self.signing_key = signer.public_key().public_bytes_raw()
        self.recipient = seal.recipient_of(identity)

    @classmethod
    def load(cls, directory: Path) -> FileKeys:
        """Read the keys, or make them when the directory does not exist or is empty.

        Of several processes that make them at the same moment one wins, and all get the same keys.

        Raises:
            ConfigError: SHOAL-C20, a file is missing; C21, damaged; C22, others can read or replace it; C23, it cannot
                be read or written. A new key is never put in the place of an old one.
        """
        try:
            if not directory.exists() or not any(directory.iterdir()):
                _create(directory)
            _check_mode(directory, directory.stat(), forbidden=0o022, wanted="700")
            signer, identity = _read(directory / SIGNING_FILE), _read(directory / AGE_FILE)
        except OSError as error:
            raise ConfigError(
                f"cannot use the keys in {directory}: {error.strerror}",
                code="SHOAL-C23",
                hint="check that this user owns the directory, and that the disk is not full",
            ) from error
        return cls(_parse_signer(directory, signer), _parse_identity(directory, identity))

    def sign(self, data: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes."""
        return self._signer.sign(data)

    def open(self, envelope: bytes) -> bytes:
        """Decrypt an age envelope sealed to `recipient`.

        Raises:
            CryptoError: SHOAL-K01, it is sealed to another key; K03, damaged; K07, larger than any envelope or bundle.
        """
        if len(envelope) > limits.BUNDLE_BYTES:
            raise CryptoError(f"an envelope of {len(envelope)} bytes is too large", code="SHOAL-K07")
        return seal.open_(envelope, self._identity)

    def network_seed(self) -> bytes:
        """32 bytes, secret: the signing key's seed, which is this node's libp2p identity too."""
        return self._signer.private_bytes_raw()

    def __repr__(self) -> str:
        return f"FileKeys(signing_key={self.signing_key.hex()}, recipient={self.recipient.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")


# ---------------------------------------------------------------- writing


def _create(directory: Path) -> None:
    """New keys; those of another process that was first count."""
    signer = Ed25519PrivateKey.generate()
    pem = signer.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = signer.public_key().public_bytes_raw().hex()
    identity = seal.new_identity()[0]
    _place(
        directory,
        {SIGNING_FILE: f"# public key: {public}\n".encode() + pem, AGE_FILE: identity.encode() + b"\n"},
    )


def _place(directory: Path, files: Mapping[str, bytes]) -> bool:
    """Make all files beside the directory, then give it its name in one step: never one key without the other.

    False if there is something of that name already.
    """
    parent = directory.parent
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=parent))
    try:
        for name, data in files.items():
            _write(fresh / name, data)
        _sync(fresh)
        try:
            fresh.rename(directory)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        _sync(parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return True


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- backups

_BACKUP = "shoal/keys/1"


def export_keys(directory: Path) -> bytes:
    """Both keys as one plain text, to be encrypted at once. Raises as `FileKeys.load`, and makes no keys.

    Raises:
        ConfigError: SHOAL-C20, there are none.
    """
    if not directory.exists() or not any(directory.iterdir()):
        raise ConfigError(
            f"there are no keys in {directory}", code="SHOAL-C20", hint="they are made by the first start"
        )
    FileKeys.load(directory)  # a damaged key is no backup
    texts = {name: _read(directory / name).decode("ascii") for name in (SIGNING_FILE, AGE_FILE)}
    return json.dumps({"format": _BACKUP, **texts}).encode()


def import_keys(directory: Path, exported: bytes) -> FileKeys:
    """Put the keys of `export_keys` where there are none; all of them or nothing.

    Raises:
        UsageError: SHOAL-U65, there are keys already.
        ConfigError: SHOAL-C21, this holds no keys; C22, C23 as of `FileKeys.load`.
    """
    try:
        value = json.loads(exported)
        texts = {name: str(value[name]).encode("ascii") for name in (SIGNING_FILE, AGE_FILE)}
        if value["format"] != _BACKUP:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ConfigError("this holds no keys of a node", code="SHOAL-C21", hint="give another backup") from None
    _parse_signer(directory, texts[SIGNING_FILE])
    _parse_identity(directory, texts[AGE_FILE])
    try:
        if not _place(directory, texts):
            raise UsageError(
                f"{directory} holds keys already, and they are never overwritten",
                code="SHOAL-U65",
                hint="give another --dir, or move the directory of the keys away",
            )
    except OSError as error:
        raise ConfigError(
            f"cannot write the keys to {directory}: {error.strerror}",
            code="SHOAL-C23",
            hint="check that this user owns the directory, and that the disk is not full",
        ) from error
    return FileKeys.load(directory)


# ---------------------------------------------------------------- reading


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            _check_mode(path, os.fstat(file.fileno()), forbidden=0o077, wanted="600")
            return file.read(_FILE_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing", code="SHOAL-C20", hint=_RESTORE) from None


# ---------------------------------------------------------------- the operator's key

KEYRING_SERVICE = "shoal"


def key_from_file(path: Path) -> str:
    """The operator's key from a file that holds nothing else.

    Raises:
        ConfigError: SHOAL-C22, others can read it; C25, it is missing, empty or cannot be read.
    """
    try:
        with path.open("rb") as file:
            _check_mode(path, os.fstat(file.fileno()), forbidden=0o077, wanted="600")
            text = file.read(_FILE_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise _no_operator_key(f"{path}: {error.strerror}", "check operator_key_file") from None
    if not text:
        raise _no_operator_key(f"{path} is empty", "put the key into it")
    know(text)
    return text


def key_from_keyring(account: str) -> str:
    """The operator's key from the system's keyring, under the service `shoal` and the account's id.

    Raises:
        ConfigError: SHOAL-C25, there is none, or no keyring can be used.
    """
    try:
        import keyring
    except ModuleNotFoundError:
        raise _no_operator_key("the library keyring is not installed", "pip install 'shoal[keyring]'") from None
    try:
        text = keyring.get_password(KEYRING_SERVICE, account)
    except Exception as error:  # back ends raise what they like; none of it is shown, it may quote what was stored
        raise _no_operator_key(f"the keyring cannot be used: {type(error).__name__}", "unlock it") from None
    if not text:
        raise _no_operator_key(
            f"the keyring holds no key of {account}", f"`keyring set {KEYRING_SERVICE} {account}` puts one in"
        )
    know(str(text).strip())
    return str(text).strip()


def _no_operator_key(what: str, hint: str) -> ConfigError:
    return ConfigError(f"the operator's key cannot be had: {what}", code="SHOAL-C25", hint=hint)


# ---------------------------------------------------------------- checks


def _check_mode(path: Path, status: os.stat_result, *, forbidden: int, wanted: str) -> None:
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & forbidden:
        raise ConfigError(
            f"other users of this machine can read or replace {path}", code="SHOAL-C22", hint=f"chmod {wanted} {path}"
        )


def _parse_signer(directory: Path, data: bytes) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        raise _damaged(directory / SIGNING_FILE) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _damaged(directory / SIGNING_FILE)
    # PEM has no checksum, and every 32 bytes are a key: only the public key tells whether it is still the same one.
    public = _PUBLIC.search(data)
    if public is None or bytes.fromhex(public[1].decode()) != key.public_key().public_bytes_raw():
        raise _damaged(directory / SIGNING_FILE)
    return key


def _parse_identity(directory: Path, data: bytes) -> str:
    lines = [line for line in data.decode("ascii", "replace").splitlines() if line.strip() and not line.startswith("#")]
    try:
        seal.recipient_of(lines[0])
    except (CryptoError, IndexError):
        raise _damaged(directory / AGE_FILE) from None
    return lines[0]


def _damaged(path: Path) -> ConfigError:
    return ConfigError(f"{path} is damaged", code="SHOAL-C21", hint=_RESTORE)
