"""seccomp: the kernel refuses every system call that is not on the list: network, programs, other processes.

https://docs.kernel.org/userspace-api/seccomp_filter.html. An allow-list: a call that no one thought of is refused.
What it cannot see is memory, such as the path given to `open`: that is Landlock's part.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from dataclasses import dataclass

from shoal.adapters.engine import syscalls
from shoal.adapters.engine.kernel import syscall
from shoal.adapters.engine.syscalls import Condition

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32 = 0x40000000
_SET_FILTER, _ALL_THREADS = 1, 1


@dataclass(frozen=True, slots=True)
class _Machine:
    column: int
    """Of the tables of system calls."""
    architecture: int
    """As the kernel names it to the filter."""
    seccomp: int


_MACHINES = {
    "x86_64": _Machine(0, 0xC000003E, 317),
    "aarch64": _Machine(1, 0xC00000B7, 277),
}


class _Program(list[bytes]):
    """Instructions of classic BPF."""

    def add(self, code: int, value: int, if_true: int = 0, if_false: int = 0) -> None:
        self.append(struct.pack("=HBBI", code, if_true, if_false, value))


def confine() -> bool:
    """Put up the filter, for ever and for all threads; False on an architecture whose numbers are not known here.

    Needs `no_new_privs`. Raises OSError when the kernel refuses.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or sys.platform != "linux" or struct.calcsize("P") != 8:
        return False
    program = _program(machine, os.getpid())
    code = ctypes.create_string_buffer(b"".join(program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    syscall(machine.seccomp, _SET_FILTER, _ALL_THREADS, ctypes.create_string_buffer(header, len(header)))
    return True


def _program(machine: _Machine, own_pid: int) -> _Program:
    program = _Program()
    program.add(_LOAD, _ARCHITECTURE_AT)
    program.add(_EQUAL, machine.architecture, if_true=1)
    program.add(_RETURN, _KILL)
    program.add(_LOAD, _NUMBER_AT)
    # The x32 calls have x86-64's architecture and other numbers.
    program.add(_AT_LEAST, _X32, if_false=1)
    program.add(_RETURN, _KILL)
    for numbers in syscalls.ALLOWED.values():
        number = numbers[machine.column]
        if number is not None:
            program.add(_EQUAL, number, if_false=1)
            program.add(_RETURN, _ALLOW)
    for condition in syscalls.conditions(own_pid).values():
        number = condition.numbers[machine.column]
        if number is not None:
            block = _check(condition)
            program.add(_EQUAL, number, if_false=len(block))
            program.extend(block)
    program.add(_AT_LEAST, syscalls.FIRST_NEW, if_false=1)
    program.add(_RETURN, _ERRNO | syscalls.UNKNOWN)
    program.add(_RETURN, _ERRNO | syscalls.REFUSED)
    return program


def _check(condition: Condition) -> _Program:
    """Both machines are little-endian, and all arguments looked at are 32 bits wide (of clone's, only the low are)."""
    refuse = _ERRNO | syscalls.REFUSED
    hit, miss = (_ALLOW, refuse) if condition.wanted else (refuse, _ALLOW)
    block = _Program()
    block.add(_LOAD, _ARGUMENTS_AT + 8 * condition.argument)
    block.add(_AND, condition.mask)
    for value in condition.values:
        block.add(_EQUAL, value, if_false=1)
        block.add(_RETURN, hit)
    block.add(_RETURN, miss)
    return block
