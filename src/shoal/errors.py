"""Every error a user can meet, as one tree with stable codes: what happened, is my money safe, what to do.

    ShoalError
    ├── UsageError        exit 2   what was asked cannot be done as written
    ├── ConfigError       exit 3   a setting, file or key is missing or wrong
    ├── ModelError        exit 4   the model cannot be shipped or trained
    ├── DataError         exit 5   the data set cannot be used
    ├── LedgerError       exit 6   Hedera refused or cannot be reached
    │   ├── LedgerUnreachable
    │   └── CallReverted
    ├── StorageError      exit 7   S3 or IPFS refused or cannot be reached
    ├── NetworkError      exit 8   peers cannot be reached
    ├── MarketError       exit 9   nobody to train, budget too small, task ended early
    ├── CryptoError       exit 10  a ciphertext, signature or hash does not match
    ├── EngineError       exit 11  training failed inside the sandbox
    ├── ProcessError      exit 12  a process of the local stack died
    ├── MachineError      exit 13  this machine, or what its owner said of it, stands in the way
    └── VerificationError exit 14  what was verified does not hold

Codes are `SHOAL-<LETTER><NN>`; a code that was retired is never used again. `docs/errors.md` has a section per code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

_BEFORE = "nothing was spent by this"
"""These are found before anything is paid."""


class ShoalError(Exception):
    """Base of every error shown to a user.

    Args:
        message: what happened, and where (never a secret).
        code: stable identifier such as `SHOAL-D03`.
        hint: what the user can do now.
        money: what this means for the user's money; without it, what it means in every error of its kind.

    >>> raise DataError("column 'age', row 17 is empty", code="SHOAL-D03", hint="fill or drop the row")
    Traceback (most recent call last):
    shoal.errors.DataError: column 'age', row 17 is empty
    """

    exit_status: ClassVar[int] = 1
    default_code: ClassVar[str] = "SHOAL-X00"
    default_money: ClassVar[str] = ""

    def __init__(self, message: str, *, code: str | None = None, hint: str = "", money: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.money = money or self.default_money
        # A traceback, which is what a notebook shows, ends with them.
        for note in (self.code, self.money and f"money: {self.money}", hint and f"do:    {hint}"):
            if note:
                self.add_note(note)

    def as_dict(self) -> dict[str, str | int]:
        """The shape printed under `--json`: code, message, hint, money, exit_status."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "money": self.money,
            "exit_status": self.exit_status,
        }


def revive(value: Mapping[str, Any]) -> ShoalError:
    """The error that another process of ours printed: the inverse of `as_dict`, by the letter of its code.

    >>> type(revive({"code": "SHOAL-D03", "message": "empty"})).__name__
    'DataError'
    """
    code = str(value.get("code") or ShoalError.default_code)
    kinds = {kind.default_code[:7]: kind for kind in ShoalError.__subclasses__()}
    message, hint, money = (str(value.get(name) or "") for name in ("message", "hint", "money"))
    return kinds.get(code[:7], ShoalError)(message, code=code, hint=hint, money=money)


def first_error(error: BaseException) -> BaseException:
    """Nurseries wrap errors in groups: the first that says something to a user, else the first.

    >>> first_error(ExceptionGroup("nursery", [ValueError("a"), DataError("column 3 is empty")]))
    DataError('column 3 is empty')
    """
    flat: list[BaseException] = []
    todo: list[BaseException] = [error]
    while todo:
        each = todo.pop(0)
        if isinstance(each, BaseExceptionGroup):
            todo += each.exceptions
        else:
            flat.append(each)
    for kind in (KeyboardInterrupt, ShoalError):
        for each in flat:
            if isinstance(each, kind):
                return each
    return flat[0]


class UsageError(ShoalError):
    exit_status = 2
    default_code = "SHOAL-U00"
    default_money = _BEFORE


class ConfigError(ShoalError):
    exit_status = 3
    default_code = "SHOAL-C00"
    default_money = _BEFORE


class ModelError(ShoalError):
    exit_status = 4
    default_code = "SHOAL-M00"
    default_money = _BEFORE


class DataError(ShoalError):
    exit_status = 5
    default_code = "SHOAL-D00"
    default_money = _BEFORE


class LedgerError(ShoalError):
    exit_status = 6
    default_code = "SHOAL-L00"


class LedgerUnreachable(LedgerError):
    default_code = "SHOAL-L01"


class CallReverted(LedgerError):
    """The contract refused a call. `reason` is the custom error's name, such as `AlreadyAccepted`."""

    default_code = "SHOAL-L02"

    def __init__(self, message: str, *, reason: str, hint: str = "", money: str = "") -> None:
        super().__init__(message, hint=hint, money=money)
        self.reason = reason


class StorageError(ShoalError):
    exit_status = 7
    default_code = "SHOAL-S00"


class NetworkError(ShoalError):
    exit_status = 8
    default_code = "SHOAL-N00"


class MarketError(ShoalError):
    exit_status = 9
    default_code = "SHOAL-T00"


class CryptoError(ShoalError):
    exit_status = 10
    default_code = "SHOAL-K00"


class EngineError(ShoalError):
    exit_status = 11
    default_code = "SHOAL-E00"


class ProcessError(ShoalError):
    exit_status = 12
    default_code = "SHOAL-P00"


class MachineError(ShoalError):
    exit_status = 13
    default_code = "SHOAL-G00"
    default_money = _BEFORE


class VerificationError(ShoalError):
    exit_status = 14
    default_code = "SHOAL-V00"
