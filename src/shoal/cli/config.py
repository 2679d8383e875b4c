"""`shoal config`: settings and their origins, and changing one."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import SecretStr, ValidationError
from rich.table import Table
from tomlkit.exceptions import TOMLKitError

from shoal.cli import output
from shoal.errors import ConfigError, UsageError
from shoal.seal.files import whole_file
from shoal.settings import LISTS, SECRETS, Settings, load_with_origins


def show(directory: Path | None, *, as_json: bool) -> None:
    """Print every setting with where it came from."""
    settings, origins = load_with_origins(flags={"dir": directory})
    rows = {name: (_plain(getattr(settings, name)), origins[name].text) for name in type(settings).model_fields}
    if as_json:
        output.print_json({name: {"value": value, "origin": origin} for name, (value, origin) in rows.items()})
        return
    table = Table("setting", "value", "origin", box=None)
    for name, (value, origin) in rows.items():
        table.add_row(name, str(value), origin)
    output.stdout.print(table)


def change(directory: Path | None, name: str, value: str | None, *, as_json: bool) -> None:
    """Write a setting into the `shoal.toml` of the node's directory; what else stands there stays, comments too.

    Raises:
        ConfigError: SHOAL-C02, no such setting, or not such a value; C03, the file cannot be read.
        UsageError: SHOAL-U67, a secret among the arguments, or no value at all.
    """
    if name not in Settings.model_fields or name == "dir":
        raise ConfigError(f"there is no setting {name[:64]!r} to write", code="SHOAL-C02", hint="`shoal config show`")
    settings, _ = load_with_origins(flags={"dir": directory})
    path = settings.dir / "shoal.toml"
    given = _value(name, value)
    try:
        document = tomlkit.parse(path.read_text()) if path.exists() else tomlkit.document()
        document[name] = _checked(name, given)
    except (OSError, UnicodeDecodeError, TOMLKitError):
        raise ConfigError(f"{path} cannot be read", code="SHOAL-C03", hint="repair or remove this file") from None
    settings.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with whole_file(path) as file:  # of mode 600, since it may hold keys
        file.write(tomlkit.dumps(document).encode())
    after, origins = load_with_origins(flags={"dir": directory})
    shown, origin = _plain(getattr(after, name)), origins[name].text
    if origin != str(path):
        output.say(f"it stands in {path}, but {origin} says otherwise, and wins")
    if as_json:
        output.print_json({"name": name, "value": shown, "origin": origin, "file": str(path)})
    else:
        output.stdout.print(f"{name} = {shown}", markup=False, soft_wrap=True)


def _value(name: str, value: str | None) -> str:
    """A secret comes by standard input only: arguments are seen by other users, and kept in histories."""
    if name in SECRETS and value is not None:
        raise UsageError(
            f"{name} is a secret, and arguments can be seen by others",
            code="SHOAL-U67",
            hint=f"`shoal config set {name}` asks for it, or reads it from standard input; take this one for known",
        )
    if value is not None:
        return value
    if sys.stdin.isatty():
        return getpass.getpass(f"{name}: ") if name in SECRETS else input(f"{name}: ")
    return sys.stdin.readline().rstrip("\r\n")


def _checked(name: str, text: str) -> Any:
    """The value as TOML writes it, if it is one of this setting's."""
    given: Any = [part.strip() for part in text.split(",") if part.strip()] if name in LISTS else text
    try:
        made = getattr(Settings.model_validate({name: given}), name)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ConfigError(f"{name}: {first['msg']}", code="SHOAL-C02", hint="`shoal config show` lists all") from None
    plain = made.get_secret_value() if isinstance(made, SecretStr) else made
    return list(plain) if isinstance(plain, tuple) else plain


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
