# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The system calls that each kind of process can make, written down a second time, independently.
If you add one, add it here too, and ask yourself what a guest or a VMM that has taken over the
process can do with it: to other processes, to files, to what is counted for a user.
"""

from __future__ import annotations

import os
import signal

OWN = -0x5E1F
"""Stands for the process's own number."""
ANY = -1
POINTER = -0x9017
"""Stands for the address of some memory."""

DATA = {
    "read", "readv", "pread64", "write", "writev", "recvfrom", "recvmsg", "sendmsg", "lseek", "ftruncate",
}  # fmt: skip
DESCRIPTORS = {
    "close", "dup", "dup2", "dup3", "fstat", "poll", "ppoll", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
    "getsockname", "getsockopt", "shutdown",
}  # fmt: skip
MEMORY = {"brk", "munmap", "mprotect", "mremap", "madvise", "membarrier"}
LOOKING = {
    "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents64",
    "getcwd",
}  # fmt: skip
ITSELF = {
    "getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getrlimit", "getrusage", "getrandom", "getcpu", "uname",
    "sysinfo", "times", "time", "gettimeofday", "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep",
    "sched_yield", "rt_sigaction", "rt_sigprocmask", "sigaltstack", "set_robust_list", "rseq", "restart_syscall",
}  # fmt: skip
# Calls that are not seen to return, or that return the same as a missing call.
ENDING = {"exit", "exit_group", "rt_sigreturn"}
FUTEX = {"futex"}

EVERY = DATA | DESCRIPTORS | MEMORY | LOOKING | ITSELF | ENDING | FUTEX

PLAIN = {
    "session": EVERY
    | {"accept", "accept4", "getpeername", "recvmmsg", "pidfd_open", "splice", "vmsplice"},
    "device": EVERY | {"fallocate"},
    "graphics": EVERY
    | {"fallocate", "statfs", "fstatfs", "fadvise64", "getpeername", "mincore", "msync"}
    | {"eventfd2", "timerfd_create", "timerfd_settime", "timerfd_gettime"}
    | {"sched_get_priority_min", "sched_get_priority_max"},
    # Much less than all others, since it reads what strangers send.
    "view": {"read", "readv", "write", "writev", "recvfrom", "recvmsg", "sendmsg", "lseek"}
    | {"close", "dup", "fstat", "poll", "ppoll", "select", "pselect6", "shutdown"}
    | {"getsockopt", "getsockname", "getpeername"}
    | {"brk", "munmap", "mprotect", "mremap", "madvise"}
    | {
        "getpid",
        "gettid",
        "getuid",
        "geteuid",
        "getgid",
        "getegid",
        "getrandom",
        "getcpu",
        "uname",
        "time",
    }
    | {
        "gettimeofday",
        "clock_gettime",
        "clock_getres",
        "clock_nanosleep",
        "nanosleep",
        "sched_yield",
    }
    | {"rt_sigaction", "rt_sigprocmask", "sigaltstack", "restart_syscall"}
    | ENDING
    | FUTEX,
}
"""Calls that are made with any arguments."""
# It begins with a program of its own, and has children.
PLAIN["vulkan"] = PLAIN["graphics"] | {
    "execve", "arch_prctl", "set_tid_address", "pselect6", "signalfd4", "waitid", "flock",
}  # fmt: skip
PLAIN["vulkan-scoped"] = PLAIN["vulkan"]
# A guest's programs have windows on the host: it can connect to whatever its user may.
PLAIN["wayland"] = PLAIN["graphics"] | {"connect", "epoll_create1"}

Attempt = tuple[str, tuple[int, ...]]

OPEN_TO_WRITE = os.O_WRONLY, os.O_RDWR
CREATING = os.O_CREAT, os.O_TRUNC, os.O_TMPFILE
SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET = 1, 2, 5
PTHREAD, FORK, NAMESPACE = 0x3D0F00, signal.SIGCHLD, 0x40000000
FORK_WITH_GLIBC = FORK | 0x1200000
FIOSETOWN, SIOCSPGRP, FIOASYNC, TIOCSTI, DRM_IOCTL_VERSION = (
    0x8901,
    0x8902,
    0x5452,
    0x5412,
    0xC0406400,
)

_ALL_ALLOWED: list[Attempt] = [
    ("fcntl", (ANY, 1)),
    ("fcntl", (ANY, 4, os.O_NONBLOCK)),
    ("fcntl", (ANY, 1030, 0)),
    ("fcntl", (ANY, 1034)),
    ("ioctl", (ANY, 0x5411)),
    ("ioctl", (ANY, 0x5421)),
    ("sendto", (ANY, ANY, ANY, 0, 0, 0)),
    ("mmap", (0, 0, 0, 0x22, ANY, 0)),
    ("memfd_create", (0, 2)),
    ("open", (0, os.O_RDONLY | os.O_CLOEXEC)),
    ("openat", (ANY, 0, os.O_RDONLY | os.O_CLOEXEC)),
    ("prctl", (15, 0)),
    ("tgkill", (OWN, ANY, signal.SIGABRT)),
    ("sched_getaffinity", (0, 0, 0)),
    ("prlimit64", (0, 7, 0, 0)),
]
_ALL_REFUSED: list[Attempt] = [
    *(("fcntl", (ANY, command, 0)) for command in (5, 6, 7, 8, 10, 15, 36, 37, 1024, 1026, 1031)),
    *(("ioctl", (ANY, command)) for command in (FIOSETOWN, SIOCSPGRP, FIOASYNC, TIOCSTI)),
    ("fcntl", (ANY, 1 << 32 | 8, 1)),
    ("ioctl", (ANY, 1 << 32 | FIOSETOWN)),
    ("sendto", (ANY, ANY, ANY, 0, POINTER, 16)),
    ("mmap", (0, 4096, 0, 0x40022, ANY, 0)),
    ("memfd_create", (0, 4)),
    *(("open", (0, flag)) for flag in CREATING),
    *(("openat", (ANY, 0, flag)) for flag in CREATING),
    ("tgkill", (1, 1, 0)),
    ("tgkill", (OWN, ANY, 0)),
    ("tgkill", (OWN, ANY, 34)),
    ("prlimit64", (1, 7, 0, 0)),
    ("prlimit64", (OWN, 7, 0, 0)),
    ("prlimit64", (0, 7, POINTER, 0)),
    *(("setpriority", (which, who, 19)) for which, who in ((0, 1), (1, 0), (2, 0), (0, 1 << 32))),
    *((name, (1, 0, 0)) for name in ("sched_setaffinity", "sched_setscheduler", "sched_setattr")),
    *(("clone", (flags, 0, 0, 0, 0)) for flags in (FORK, 0, PTHREAD | NAMESPACE, PTHREAD ^ 0x100)),
    ("socketpair", (1, SOCK_DGRAM, 0, 0)),
    ("socketpair", (2, SOCK_STREAM, 0, 0)),
    *(("setsockopt", (ANY, 1, option, 0, 4)) for option in (8, 13, 26, 33)),
    ("kcmp", (1, 1, 0, 0, 0)),
    ("kcmp", (OWN, OWN, 1, 0, 0)),
]
_OPENING: list[Attempt] = [
    *(("open", (0, flags)) for flags in OPEN_TO_WRITE),
    *(("openat", (ANY, 0, flags)) for flags in OPEN_TO_WRITE),
]
# The thread is refused by the kernel, since it has nowhere to put its number.
_THREAD: list[Attempt] = [("clone", (PTHREAD, 0, 1, 1, 0))]
_SESSION: list[Attempt] = [
    ("socketpair", (1, SOCK_STREAM, 0, 0)),
    ("socketpair", (1, SOCK_SEQPACKET | os.O_CLOEXEC, 0, 0)),
    *(("setsockopt", (ANY, 1, option, 0, 4)) for option in (7, 16, 32)),
]
# Of two sizes: at rest, and while frames move.
_PIPE: list[Attempt] = [("fcntl", (ANY, 1031, size)) for size in (1 << 16, 1 << 20)]
# Punching a hole gives memory back; allocating, as mode 0 does, takes some.
_GIVING_BACK: list[Attempt] = [("fallocate", (ANY, 3, 0, 0))]
_TAKING: list[Attempt] = [("fallocate", (ANY, mode, 0, 0)) for mode in (0, 1, 2, 0x10, 0x43)]
_GRAPHICS: list[Attempt] = [
    ("ioctl", (ANY, DRM_IOCTL_VERSION)),
    ("kcmp", (OWN, OWN, 0, 0, 0)),
    ("sched_setaffinity", (0, 0, 0)),
    ("sched_setaffinity", (OWN, 0, 0)),
    ("sched_setscheduler", (0, ANY, 0)),
    ("sched_setparam", (0, 0)),
    ("sched_getattr", (0, 0, 0, 0)),
    ("sched_getscheduler", (0,)),
    ("sched_getparam", (0, 0)),
    ("getpriority", (0, 0)),
    ("setpriority", (0, 0, 0)),
    ("prlimit64", (0, 9, POINTER, 0)),
]
# No path is followed, only descriptors that are open already.
AT_EMPTY_PATH = 0x1000
_VIEW: list[Attempt] = [
    ("fcntl", (ANY, 1)),
    ("fcntl", (ANY, 4, os.O_NONBLOCK)),
    ("fcntl", (ANY, 1034)),
    ("ioctl", (ANY, 0x5421)),
    ("sendto", (ANY, ANY, ANY, 0, 0, 0)),
    ("mmap", (0, 0, 0, 0x22, ANY, 0)),
    ("newfstatat", (ANY, 0, 0, AT_EMPTY_PATH)),
    ("setsockopt", (ANY, 6, 1, 0, 4)),
    ("tgkill", (OWN, ANY, signal.SIGABRT)),
    ("prlimit64", (0, 7, 0, 0)),
]
_NOT_A_VIEWS: list[Attempt] = [
    ("open", (0, os.O_RDONLY | os.O_CLOEXEC)),
    ("openat", (ANY, 0, os.O_RDONLY | os.O_CLOEXEC)),
    ("newfstatat", (ANY, 0, 0, 0)),
    ("fcntl", (ANY, 1033, 0)),
    ("ioctl", (ANY, 0x5411)),
    ("memfd_create", (0, 2)),
    ("prctl", (15, 0)),
    ("sched_getaffinity", (0, 0, 0)),
    ("socket", (1, SOCK_STREAM, 0)),
    ("connect", (ANY, 0, 0)),
    ("accept4", (ANY, 0, 0, 0)),
    ("setsockopt", (ANY, 6, 4, 0, 4)),
    ("setsockopt", (ANY, 1, 1, 0, 4)),
]

_FORKING: list[Attempt] = [
    *(("clone", (flags, 0, 0, 0, 0)) for flags in (FORK, FORK_WITH_GLIBC)),
    ("execve", (0, 0, 0)),
]

ALLOWED: dict[str, list[Attempt]] = {
    "session": _ALL_ALLOWED + _SESSION + _GIVING_BACK + _PIPE,
    "device": _ALL_ALLOWED,
    "graphics": [*_ALL_ALLOWED, *_GRAPHICS, *_OPENING],
    "view": _VIEW,
    "vulkan": [*_ALL_ALLOWED, *_GRAPHICS, *_OPENING, *_THREAD, *_SESSION[:2], *_FORKING],
}
_CONNECTING: list[Attempt] = [("socket", (1, SOCK_STREAM | os.O_CLOEXEC, 0))]
ALLOWED["wayland"] = ALLOWED["graphics"] + _CONNECTING
# There is no process with that number.
ALLOWED["vulkan-scoped"] = [*ALLOWED["vulkan"], ("kill", (0x7FFFFFFF, signal.SIGKILL))]
"""Calls that are made with these arguments; the kernel refuses each for another reason."""
REFUSED: dict[str, list[Attempt]] = {
    "session": _ALL_REFUSED + _OPENING + _TAKING + _FORKING + [("fcntl", (ANY, 1031, 1 << 21))],
    "device": _ALL_REFUSED + _OPENING + _SESSION + _PIPE + _GRAPHICS + _THREAD + _FORKING,
    "graphics": _ALL_REFUSED + _SESSION + _PIPE + _FORKING,
    "view": _ALL_REFUSED + _OPENING + _SESSION + _GRAPHICS + _THREAD + _NOT_A_VIEWS + _FORKING,
    "vulkan": [one for one in _ALL_REFUSED if one not in _FORKING]
    + _SESSION[2:]
    + [("clone", (FORK | NAMESPACE, 0, 0, 0, 0)), ("setpgid", (0, 0)), ("setsid", ())],
}
REFUSED["wayland"] = [
    *REFUSED["graphics"],
    *(
        ("socket", (family, kind, 0))
        for family, kind in ((1, SOCK_DGRAM), (1, SOCK_SEQPACKET), (2, SOCK_STREAM))
    ),
    *((name, (ANY, 0, 0)) for name in ("bind", "listen", "accept", "pipe2")),
]
for _kind in ("device", "graphics"):
    REFUSED[_kind] = REFUSED[_kind] + _CONNECTING
_KILLING: list[Attempt] = [
    *(("kill", (pid, signal.SIGKILL)) for pid in (ANY, -5)),
    *(("kill", (0x7FFFFFFF, number)) for number in (0, signal.SIGTERM, 34)),
]
REFUSED["vulkan-scoped"] = REFUSED["vulkan"] + _KILLING
REFUSED["vulkan"] = [*REFUSED["vulkan"], *_KILLING, ("kill", (OWN, signal.SIGKILL))]
