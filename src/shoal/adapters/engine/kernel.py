"""The few calls of the Linux kernel that Python does not offer, by ctypes."""

from __future__ import annotations

import ctypes
import os

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: object) -> int:
    """Raises OSError as the functions of `os` do."""
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return _checked(int(libc.syscall(ctypes.c_long(number), *words)))


def prctl(option: int, value: int) -> None:
    """One of the process's own switches. Raises OSError."""
    zero = ctypes.c_ulong(0)
    _checked(int(libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero)))


def drop_capabilities() -> None:
    """What a node that runs as root must not leave to its child, least of all the right to raise limits."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    _checked(int(libc.capset(header, none)))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
