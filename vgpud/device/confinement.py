# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a device process gives up, so that a guest that takes it over through its renderer has little.

Landlock, from before the renderer starts: reads only where programs and drivers lie, writes only to graphics devices, starts nothing,
signals nobody.  seccomp, from when it has started (a connection to a window system is a socket): no new sockets, no tracing,
no other namespaces or processes, nothing that is done to other processes.  Nothing of it can be undone.

libseccomp is opened where it is, which is wherever systemd is.  Landlock has no library in the distributions; three system calls,
which are the kernel's promised interface, are all of it.
"""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import vgpud

PR_SET_NO_NEW_PRIVS = 38

# <linux/landlock.h>; the numbers are those of every architecture.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEV = 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
FILE_ACCESS = 1 << 0 | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
SCOPE_SIGNAL = 1 << 1
# How many kinds of access each version of the interface can withhold.
KINDS = {1: 13, 2: 14, 3: 15, 4: 15}
KINDS_NOW = 16
SCOPES_SINCE = 6

READABLE = (
    "/usr", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix/store", "/gnu/store",
    "/run/opengl-driver", "/sys", "/proc", "/dev",
)  # fmt: skip
# Folders and files that the environment adds, of those variables that a device process gets.
READABLE_VARIABLES = (
    "LD_LIBRARY_PATH", "LD_PRELOAD", "LIBGL_DRIVERS_PATH", "GBM_BACKENDS_PATH", "XAUTHORITY",
    "PYTHONPATH", "VK_ICD_FILENAMES", "VK_DRIVER_FILES", "__EGL_VENDOR_LIBRARY_DIRS",
    "__EGL_VENDOR_LIBRARY_FILENAMES",
)  # fmt: skip
WRITABLE = ("/dev/null", "/dev/zero", "/dev/udmabuf")
GRAPHICS_DEVICES = ("dri", "nvidia*", "kfd", "mali*")

# <seccomp.h>
SCMP_ACT_ALLOW = 0x7FFF0000
SCMP_ACT_ERRNO = 0x00050000
SCMP_ACT_EPERM = SCMP_ACT_ERRNO | errno.EPERM
SCMP_CMP_NE, SCMP_CMP_MASKED_EQ = 1, 7
SCMP_FLTATR_CTL_TSYNC = 4  # holds for the renderer's threads too
REFUSED_CALLS = (
    "socket", "bind", "listen", "accept", "accept4", "connect",
    "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd",
    "pidfd_open", "kill", "tkill", "rt_sigqueueinfo", "pidfd_send_signal",
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "fsopen", "open_tree",
    "move_mount", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "keyctl",
    "add_key", "request_key", "open_by_handle_at", "kexec_load", "init_module",
    "finit_module",
    # What stays behind, and what others have: memory that outlives us, other programs' files by their names.
    "shmget", "shmat", "shmctl", "msgget", "msgsnd", "msgctl", "semget", "semop", "semctl", "mq_open",
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "truncate",
    # Processes of our own making, which nobody would end with us.
    "fork", "vfork",
)  # fmt: skip

MAX_U32 = 0xFFFFFFFF
CLONE_THREAD = 0x00010000
SOCK_TYPE_MASK, SOCK_DGRAM = 0xF, 2
F_SETOWN, F_SETSIG, F_SETOWN_EX = 8, 10, 15


class Argument(NamedTuple):
    """An argument by which a call is refused: its place, how it is compared, and with what."""

    place: int
    comparison: int
    first: int
    second: int = 0


Rule = tuple[str, int, Argument | None]
"""A call, what it gets instead, and the argument for which it does."""


def rules() -> Iterator[Rule]:
    """All that is refused: some calls whatever they are asked to do, some only where it is about others."""
    for name in REFUSED_CALLS:
        yield name, SCMP_ACT_EPERM, None
    # Of others: their limits, their processor time.  (0 is the caller.)
    for name in ("prlimit64", "sched_setparam", "sched_setscheduler", "sched_setattr"):
        yield name, SCMP_ACT_EPERM, Argument(0, SCMP_CMP_NE, 0)
    for name in ("setpriority", "ioprio_set"):
        yield name, SCMP_ACT_EPERM, Argument(1, SCMP_CMP_NE, 0)
    yield "sched_setaffinity", SCMP_ACT_EPERM, Argument(0, SCMP_CMP_NE, 0)
    # A thread of our own may be signalled: abort(3) does that.
    for name in ("tgkill", "rt_tgsigqueueinfo"):
        yield name, SCMP_ACT_EPERM, Argument(0, SCMP_CMP_NE, os.getpid())
    # The kernel would send a signal for us.  (It looks at 32 bits only.)
    for command in (F_SETOWN, F_SETSIG, F_SETOWN_EX):
        yield "fcntl", SCMP_ACT_EPERM, Argument(1, SCMP_CMP_MASKED_EQ, MAX_U32, command)
    # Threads alone.  What clone3() is asked for cannot be seen here; the C library then takes clone().
    yield "clone", SCMP_ACT_EPERM, Argument(0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)
    yield "clone3", SCMP_ACT_ERRNO | errno.ENOSYS, None
    # A datagram to whoever listens at a path, by sendto() or by sendmsg(), whose address cannot be seen here.
    yield "sendto", SCMP_ACT_EPERM, Argument(4, SCMP_CMP_NE, 0)
    yield "socketpair", SCMP_ACT_EPERM, Argument(1, SCMP_CMP_MASKED_EQ, SOCK_TYPE_MASK, SOCK_DGRAM)


class ConfinementError(Exception):
    """This machine cannot confine a process so; the text says why."""


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def confine_files(gpu_device: str) -> None:
    """Landlock; only ``gpu_device`` may be written, or where it is empty any graphics device."""
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise ConfinementError(f"no_new_privs: {_reason()}")
    version = _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), CREATE_RULESET_VERSION)
    if version < 1:
        raise ConfinementError(f"Landlock: {_reason()}")
    withheld = (1 << KINDS.get(version, KINDS_NOW)) - 1
    scopes = SCOPE_SIGNAL if version >= SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", withheld, 0, scopes)
    # An older kernel knows fewer fields.
    size = len(attributes) if scopes else 8
    ruleset = _landlock(CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    try:
        for path in _readable(os.environ):
            _allow(ruleset, path, withheld & (READ_FILE | READ_DIR))
        for path in _writable(gpu_device):
            _allow(ruleset, path, withheld & (WRITE_FILE | READ_FILE | READ_DIR | IOCTL_DEV))
        _landlock(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _readable(environment: Mapping[str, str]) -> Iterator[Path]:
    named = (environment.get(name, "").split(os.pathsep) for name in READABLE_VARIABLES)
    package = str(Path(vgpud.__file__).parent.parent)
    words = (word for value in named for word in value)
    for path in map(Path, (*READABLE, sys.prefix, sys.base_prefix, package, *sys.path, *words)):
        if path.is_absolute():
            yield path


def _writable(gpu_device: str) -> Iterable[Path]:
    if gpu_device:
        return (*map(Path, WRITABLE), Path(gpu_device))
    devices = (path for pattern in GRAPHICS_DEVICES for path in Path("/dev").glob(pattern))
    return (*map(Path, WRITABLE), *devices)


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # nothing there, nothing to allow
    try:
        allowed = access if path.is_dir() else access & FILE_ACCESS
        _landlock(ADD_RULE, ruleset, RULE_PATH_BENEATH, struct.pack("=Qi", allowed, place), 0)
    finally:
        os.close(place)


def _landlock(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise ConfinementError(f"Landlock: {_reason()}")
    return result


def confine_calls() -> None:
    """seccomp, for every thread of this process."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise ConfinementError(str(error)) from error
    library.seccomp_init.restype = ctypes.c_void_p
    made = library.seccomp_init(SCMP_ACT_ALLOW)
    if made is None:
        raise ConfinementError("libseccomp: no filter can be made")
    context = ctypes.c_void_p(made)
    try:
        _seccomp(library.seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1))
        for name, action, argument in rules():
            number = library.seccomp_syscall_resolve_name(name.encode())
            # A library may be older than a call; an architecture may not have it (below 0).
            if number >= 0:
                packed = struct.pack("=IIQQ", *argument) if argument else None
                count = int(argument is not None)
                _seccomp(library.seccomp_rule_add_array(context, action, number, count, packed))
        _seccomp(library.seccomp_load(context))
    finally:
        library.seccomp_release(context)


def _seccomp(result: int) -> None:
    if result:
        raise ConfinementError(f"libseccomp: {os.strerror(-result)}")


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
