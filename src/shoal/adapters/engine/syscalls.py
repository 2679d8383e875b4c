"""The system calls that training needs, found by tracing it, with their numbers on x86-64 and on 64-bit ARM.

Any other is refused. `None`: the architecture has no such call.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # memory
    "brk": (12, 214),
    "madvise": (28, 233),
    "mbind": (237, 235),
    "get_mempolicy": (239, 236),
    "membarrier": (324, 283),
    "mincore": (27, 232),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "msync": (26, 227),
    "munmap": (11, 215),
    # threads
    "exit": (60, 93),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "get_robust_list": (274, 100),
    "getcpu": (309, 168),
    "rseq": (334, 293),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "sched_yield": (24, 124),
    "set_robust_list": (273, 99),
    "set_tid_address": (218, 96),
    # files, as far as Landlock and the mounts let it
    "access": (21, None),
    "close": (3, 57),
    "close_range": (436, 436),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_wait": (232, None),
    "eventfd2": (290, 19),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "fadvise64": (221, 223),
    "fdatasync": (75, 83),
    "fstat": (5, 80),
    "fstatfs": (138, 44),
    "fsync": (74, 82),
    "ftruncate": (77, 46),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "lseek": (8, 62),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "pipe2": (293, 59),
    "poll": (7, None),
    "ppoll": (271, 73),
    "pread64": (17, 67),
    "pselect6": (270, 72),
    "pwrite64": (18, 68),
    "read": (0, 63),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "readv": (19, 65),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "select": (23, None),
    "stat": (4, None),
    "statfs": (137, 43),
    "statx": (332, 291),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "write": (1, 64),
    "writev": (20, 66),
    # time, chance, and questions about itself
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getgroups": (115, 158),
    "getpgrp": (111, None),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getrandom": (318, 278),
    "getresgid": (120, 150),
    "getresuid": (118, 148),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "getuid": (102, 174),
    "nanosleep": (35, 101),
    "sysinfo": (99, 179),
    "time": (201, None),
    "times": (100, 153),
    "uname": (63, 160),
    # signals to itself; tgkill is below
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    # oneDNN asks for the matrix unit: without it the same training would give other bits
    "arch_prctl": (158, None),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """Allowed while the low word of an argument, under a mask, is (or is not) one of some values."""

    numbers: tuple[int | None, int | None]
    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    wanted: bool = True


_CLONE_THREAD = 0x10000
_ACCESS_MODE_AND_TRUNCATE = 0o1003
_TRUNCATE_FOR_READING = 0o1000
_DUPLICATE_AND_FLAGS = (0, 1, 2, 3, 4, 1030)
_LOCKS = (5, 6, 7)
_IS_TERMINAL = (0x5401, 0x802C542A)
_CLOSE_ON_EXEC = (0x5450, 0x5451)
_THREAD_NAME_AND_VMA_NAME = (15, 16, 0x53564D41)


def conditions(own_pid: int) -> dict[str, Condition]:
    """Calls that are allowed with some arguments only."""
    own = (0, own_pid)
    return {
        "clone": Condition((56, 220), 0, (_CLONE_THREAD,), _CLONE_THREAD),
        "fcntl": Condition((72, 25), 1, (*_DUPLICATE_AND_FLAGS, *_LOCKS)),  # no owner: it would get signals
        "ioctl": Condition((16, 29), 1, (*_IS_TERMINAL, *_CLOSE_ON_EXEC)),
        # Before its third version Landlock let a file be emptied by who may only read it.
        "open": Condition((2, None), 1, (_TRUNCATE_FOR_READING,), _ACCESS_MODE_AND_TRUNCATE, wanted=False),
        "openat": Condition((257, 56), 2, (_TRUNCATE_FOR_READING,), _ACCESS_MODE_AND_TRUNCATE, wanted=False),
        "prctl": Condition((157, 167), 0, _THREAD_NAME_AND_VMA_NAME),
        "prlimit64": Condition((302, 261), 0, own),  # without capabilities limits only fall
        "sched_setaffinity": Condition((203, 122), 0, own),
        "tgkill": Condition((234, 131), 0, (own_pid,)),
    }


FIRST_NEW = 424
"""From here on all architectures share numbers. A new call that is not allowed "does not exist" (as `clone3`, 435,
whose arguments a filter cannot read): libraries then fall back to the old ones."""
REFUSED = errno.EPERM
UNKNOWN = errno.ENOSYS
