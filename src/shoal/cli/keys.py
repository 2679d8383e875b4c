"""`shoal keys`: an encrypted copy of a node's keys, and putting one back."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from shoal import seal
from shoal.cli import output
from shoal.errors import UsageError
from shoal.node import exported_keys, imported_keys, peer_id_of
from shoal.seal.files import whole_file
from shoal.settings import Settings

PASSPHRASE_CHARS = 12
BACKUP_BYTES = 64 * 1024


def backup(settings: Settings, out: Path, recipient: str | None, *, as_json: bool) -> None:
    """Write both keys, encrypted, to a new file of its owner's.

    Raises:
        UsageError: SHOAL-U65, the file is there; U66, no usable passphrase.
    """
    if out.exists():
        raise UsageError(f"{out} is there already", code="SHOAL-U65", hint="name a new file")
    text = _sealed(settings, recipient)
    with whole_file(out) as file:
        file.write(text.encode())
    if as_json:
        output.print_json({"file": str(out.resolve())})
    else:
        output.say("keep it elsewhere, and what opens it elsewhere still; `shoal keys import` puts it back")
        output.stdout.print(str(out), soft_wrap=True)


def export(settings: Settings, recipient: str | None, *, as_json: bool) -> None:
    """The same on standard output."""
    text = _sealed(settings, recipient)
    if as_json:
        output.print_json({"age": text})
    else:
        sys.stdout.write(text)


def restore(settings: Settings, source: Path, identity: Path | None, *, as_json: bool) -> None:
    """Put keys back where there are none.

    Raises:
        UsageError: SHOAL-U65, there are keys; U66, no passphrase; U67, the file cannot be read.
        CryptoError: SHOAL-K01, another passphrase or identity; K03, damaged.
    """
    sealed = seal.dearmor(_read(source))
    if seal.has_passphrase(sealed):
        exported = seal.open_with_passphrase(sealed, _passphrase(twice=False))
    elif identity is None:
        raise UsageError(
            "this is sealed to a key, and not to a passphrase",
            code="SHOAL-U66",
            hint="give the key with --identity FILE",
        )
    else:
        exported = seal.open_(sealed, _identity(identity))
    keys = imported_keys(settings, exported)
    row = {
        "dir": str(settings.dir),
        "peer_id": peer_id_of(keys.signing_key),
        "recipient": seal.recipient_text(keys.recipient),
    }
    if as_json:
        output.print_json(row)
    else:
        output.say(f"keys of peer {row['peer_id']} are in {settings.dir}")


def _sealed(settings: Settings, recipient: str | None) -> str:
    exported = exported_keys(settings)
    if recipient is not None:
        return seal.armor(seal.seal(exported, [seal.parse_recipient(recipient)]))
    return seal.armor(seal.seal_with_passphrase(exported, _passphrase(twice=True)))


def _passphrase(*, twice: bool) -> str:
    """Typed without being shown, or the first line of standard input; never an argument, which others can see."""
    if sys.stdin.isatty():
        text = getpass.getpass("passphrase: ")
        if twice and getpass.getpass("again: ") != text:
            raise UsageError("the two passphrases differ", code="SHOAL-U66", hint="type the same one twice")
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    if len(text) < PASSPHRASE_CHARS:
        raise UsageError(
            f"a passphrase has {PASSPHRASE_CHARS} characters or more",
            code="SHOAL-U66",
            hint="type one, or give it as the first line of standard input; or encrypt to a key with --to age1...",
        )
    return text


def _identity(path: Path) -> str:
    lines = [line.strip() for line in _read(path).decode("ascii", "replace").splitlines()]
    return next((line for line in lines if line and not line.startswith("#")), "")


def _read(path: Path) -> bytes:
    try:
        if str(path) == "-":
            raise UsageError("a backup is read from a file", code="SHOAL-U67", hint="standard input has the passphrase")
        with path.open("rb") as file:
            return file.read(BACKUP_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", code="SHOAL-U67", hint="give a file") from None
