"""What a student's program cannot do, whatever it tries.

Limits and a seccomp filter, which a process may put on itself without any right and can never take
off again. What is left to it: to compute, to read files, stdin, stdout and stderr. It runs as the
same user as the job, so files of modes and owners would keep nothing from it.
"""

import ctypes
import errno
import os
import platform
import resource
import struct

_MEMORY_BYTES = 256 * 1024 * 1024
_OPEN_FILES = 64

_LIMITS = {
    resource.RLIMIT_AS: _MEMORY_BYTES,
    resource.RLIMIT_CORE: 0,
    # Not one byte into any file.
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_NOFILE: _OPEN_FILES,
    # No further process or thread. Any other number would count the user's processes on the
    # whole node, and so depend on the neighbours.
    resource.RLIMIT_NPROC: 0,
}

# include/uapi/linux/prctl.h, seccomp.h, filter.h, audit.h
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_KILL_PROCESS = 0x80000000
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_LOAD = 0x20
_JUMP_IF_EQUAL = 0x15
_JUMP_IF_AT_LEAST = 0x35
_JUMP_IF_ANY_BIT = 0x45
_RETURN = 0x06
_NUMBER_OFFSET = 0
_ARCHITECTURE_OFFSET = 4
_ARGUMENTS_OFFSET = 16
# x86-64 has its system calls a second time from here.
_X32 = 0x40000000

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Name, number on x86-64, number on arm64 (None: it has none).
_REFUSED: list[tuple[str, int, int | None]] = [
    # the network
    ("socket", 41, 198),
    ("io_uring_setup", 425, 425),
    # other processes, first of all the one that judges it
    ("kill", 62, 129),
    ("tkill", 200, 130),
    ("tgkill", 234, 131),
    ("rt_sigqueueinfo", 129, 138),
    ("rt_tgsigqueueinfo", 297, 240),
    ("pidfd_send_signal", 424, 424),
    ("ptrace", 101, 117),
    ("process_vm_readv", 310, 270),
    ("process_vm_writev", 311, 271),
    ("setpriority", 141, 140),
    ("ioprio_set", 251, 30),
    ("sched_setparam", 142, 118),
    ("sched_setscheduler", 144, 119),
    ("sched_setaffinity", 203, 122),
    ("sched_setattr", 314, 274),
    # memory that outlives it
    ("shmget", 29, 194),
    ("msgget", 68, 186),
    ("semget", 64, 190),
    ("mq_open", 240, 180),
    ("add_key", 248, 217),
    ("request_key", 249, 218),
    ("keyctl", 250, 219),
    # changes to files
    ("creat", 85, None),
    ("openat2", 437, 437),
    ("mkdir", 83, None),
    ("mkdirat", 258, 34),
    ("mknod", 133, None),
    ("mknodat", 259, 33),
    ("symlink", 88, None),
    ("symlinkat", 266, 36),
    ("link", 86, None),
    ("linkat", 265, 37),
    ("rename", 82, None),
    ("renameat", 264, 38),
    ("renameat2", 316, 276),
    ("unlink", 87, None),
    ("unlinkat", 263, 35),
    ("rmdir", 84, None),
    ("truncate", 76, 45),
    ("chmod", 90, None),
    ("fchmod", 91, 52),
    ("fchmodat", 268, 53),
    ("fchmodat2", 452, 452),
    ("chown", 92, None),
    ("lchown", 94, None),
    ("fchown", 93, 55),
    ("fchownat", 260, 54),
    ("utime", 132, None),
    ("utimes", 235, None),
    ("futimesat", 261, None),
    ("utimensat", 280, 88),
    ("setxattr", 188, 5),
    ("lsetxattr", 189, 6),
    ("fsetxattr", 190, 7),
    ("setxattrat", 463, 463),
    ("removexattr", 197, 14),
    ("lremovexattr", 198, 15),
    ("fremovexattr", 199, 16),
    ("removexattrat", 466, 466),
    ("file_setattr", 469, 469),
]
# The same where an argument (its place, counted from 0) has any of these bits.
_REFUSED_WITH: list[tuple[str, int, int | None, int, int]] = [
    ("open", 2, None, 1, os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC),
    ("openat", 257, 56, 2, os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC),
    # limits of a process other than itself, which is 0
    ("prlimit64", 302, 261, 0, 0xFFFFFFFF),
]
# The same where the argument in place 1 is one of these commands, which have the kernel send a
# signal to any process of the same user (asm-generic/fcntl.h, ioctls.h, sockios.h).
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15
_FIOASYNC, _FIOSETOWN, _SIOCSPGRP = 0x5452, 0x8901, 0x8902
_REFUSED_COMMANDS: list[tuple[str, int, int, tuple[int, ...]]] = [
    ("fcntl", 72, 25, (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX)),
    ("ioctl", 16, 29, (_FIOASYNC, _FIOSETOWN, _SIOCSPGRP)),
]


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]


def refusal() -> str | None:
    """Why nothing can be confined here, or None where it can."""
    if os.geteuid() == 0:
        return "Limits do not bind root: run this as another user, as a pod does."
    if platform.machine() not in _ARCHITECTURES:
        return f"No filter is known for {platform.machine()}: use x86_64 or aarch64 nodes."
    return None


def guard_own_process() -> None:
    """Let no other process of the same user read or change the memory and environment of this."""
    _prctl(_PR_SET_DUMPABLE, 0)


def confine(cpu_seconds: int) -> None:
    """Confine this process and whatever program it becomes. Raises OSError if it cannot."""
    for limit, value in {**_LIMITS, resource.RLIMIT_CPU: cpu_seconds}.items():
        resource.setrlimit(limit, (value, value))
    program = _filter(platform.machine())
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(
        _PR_SET_SECCOMP,
        _SECCOMP_MODE_FILTER,
        ctypes.byref(_Filter(len(program) // struct.calcsize("HBBI"), program)),
    )


def _prctl(option: int, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    zeros = (0,) * (4 - len(arguments))
    if libc.prctl(option, *arguments, *zeros) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


def _filter(machine: str) -> bytes:
    """The filter as a program of classic BPF: it refuses with "Operation not permitted"."""
    column = list(_ARCHITECTURES).index(machine)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_IF_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        (_JUMP_IF_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL_PROCESS),
    ]
    for _, *numbers in _REFUSED:
        if (number := numbers[column]) is not None:
            steps += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    for _, x86_64, aarch64, argument, bits in _REFUSED_WITH:
        if (number := (x86_64, aarch64)[column]) is not None:
            steps += [
                (_JUMP_IF_EQUAL, 0, 4, number),
                (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * argument),
                (_JUMP_IF_ANY_BIT, 0, 1, bits),
                (_RETURN, 0, 0, _REFUSE),
                (_RETURN, 0, 0, _ALLOW),
            ]
    for _, x86_64, aarch64, commands in _REFUSED_COMMANDS:
        steps += [
            (_JUMP_IF_EQUAL, 0, 2 * len(commands) + 2, (x86_64, aarch64)[column]),
            (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8),
        ]
        for command in commands:
            steps += [(_JUMP_IF_EQUAL, 0, 1, command), (_RETURN, 0, 0, _REFUSE)]
        steps.append((_RETURN, 0, 0, _ALLOW))
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)
