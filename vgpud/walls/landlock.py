# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The files that a process may open, and the processes that it may signal, by Landlock. The
distributions have no library for it; it is only three system calls, whose interface the kernel
promises not to change.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import vgpud
from vgpud.walls import WallError

PR_SET_NO_NEW_PRIVS = 38

# <linux/landlock.h>; the numbers are those of every architecture.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
FILE_ACCESS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
SCOPE_ABSTRACT_SOCKET, SCOPE_SIGNAL = 1 << 0, 1 << 1
# How many kinds of access each version of the interface can withhold.
KINDS = {1: 13, 2: 14, 3: 15, 4: 15}
KINDS_NOW = 16
SCOPES_SINCE = 6
NEWEST = 6
"""The last version of the interface that is used completely here."""

PROGRAMS = ("/usr", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix/store", "/gnu/store")
# What graphics drivers read about the host.
HARDWARE = ("/run/opengl-driver", "/sys", "/proc", "/dev")
# Variables, of those that a device process gets, that add folders and files.
READABLE_VARIABLES = (
    "LD_LIBRARY_PATH", "LD_PRELOAD", "LIBGL_DRIVERS_PATH", "GBM_BACKENDS_PATH", "XAUTHORITY",
    "PYTHONPATH", "VK_ICD_FILENAMES", "VK_DRIVER_FILES", "__EGL_VENDOR_LIBRARY_DIRS",
    "__EGL_VENDOR_LIBRARY_FILENAMES",
)  # fmt: skip
WRITABLE = ("/dev/null", "/dev/zero", "/dev/udmabuf")
# The dynamic linkers, which the kernel executes for programs.
LOADERS = ("lib*/ld-*.so*", "usr/lib*/ld-*.so*", "lib/*/ld-*.so*")
GRAPHICS_DEVICES = ("dri", "nvidia*", "kfd", "mali*")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def confine_to_programs() -> None:
    """Only programs may be read, since Python imports some things late; nothing may be written."""
    _confine(map(Path, (*PROGRAMS, *_python())), ())


def confine_to_nothing() -> None:
    """No file at all: for a process that has loaded everything."""
    _confine((), ())


def confine_to_graphics(gpu_device: str) -> None:
    """Only ``gpu_device`` may be written, or if it is empty any graphics device."""
    _confine(_readable(os.environ), _writable(gpu_device))


def confine_to_vulkan(gpu_device: str, program: Path) -> None:
    """As confine_to_graphics; only ``program`` can be executed."""
    loaders = (path for pattern in LOADERS for path in Path("/").glob(pattern))
    _confine(_readable(os.environ), _writable(gpu_device), (program, *loaders))


def scopes_signals() -> bool:
    """Whether confined processes can signal only those confined together with them."""
    return version() >= SCOPES_SINCE


def version() -> int:
    """The version of the kernel's interface; ``WallError`` when it has none."""
    found = int(_libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), CREATE_RULESET_VERSION))
    if found < 1:
        raise WallError(f"Landlock: {_reason()}")
    return min(found, NEWEST)


def _confine(
    readable: Iterable[Path], writable: Iterable[Path], executable: Iterable[Path] = ()
) -> None:
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise WallError(f"no_new_privs: {_reason()}")
    here = version()
    withheld = (1 << KINDS.get(here, KINDS_NOW)) - 1
    scopes = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL if scopes_signals() else 0
    attributes = struct.pack("=QQQ", withheld, 0, scopes)
    # An older kernel knows fewer fields.
    size = len(attributes) if scopes else 8
    ruleset = _landlock(CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    try:
        for path in readable:
            _allow(ruleset, path, withheld & (READ_FILE | READ_DIR))
        for path in writable:
            _allow(ruleset, path, withheld & (WRITE_FILE | READ_FILE | READ_DIR | IOCTL_DEV))
        for path in executable:
            _allow(ruleset, path, withheld & (EXECUTE | READ_FILE))
        _landlock(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _python() -> Iterator[str]:
    package = str(Path(vgpud.__file__).parent.parent)
    for path in (sys.prefix, sys.base_prefix, package, *sys.path):
        # A relative path would depend on the current folder.
        if path.startswith("/"):
            yield path


def _readable(environment: Mapping[str, str]) -> Iterator[Path]:
    named = (environment.get(name, "").split(os.pathsep) for name in READABLE_VARIABLES)
    words = (word for value in named for word in value if word.startswith("/"))
    yield from map(Path, (*PROGRAMS, *HARDWARE, *_python(), *words))


def _writable(gpu_device: str) -> Iterable[Path]:
    if gpu_device:
        return (*map(Path, WRITABLE), Path(gpu_device))
    devices = (path for pattern in GRAPHICS_DEVICES for path in Path("/dev").glob(pattern))
    return (*map(Path, WRITABLE), *devices)


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # it does not exist, so there is nothing to allow
    try:
        allowed = access if path.is_dir() else access & FILE_ACCESS
        _landlock(ADD_RULE, ruleset, RULE_PATH_BENEATH, struct.pack("=Qi", allowed, place), 0)
    finally:
        os.close(place)


def _landlock(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise WallError(f"Landlock: {_reason()}")
    return result


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
