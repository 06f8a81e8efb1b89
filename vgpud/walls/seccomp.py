# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Lists of system calls, compiled by libseccomp and put in force. libseccomp is there wherever
systemd is.  A list is compiled once, in the process that forks all others: these have only the
compiled program, not the library.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from vgpud.walls import WallError
from vgpud.walls.calls import (
    DEVICE,
    GRAPHICS,
    MAX_U64,
    NOT_SEALED,
    OWN_PROCESS,
    SESSION,
    VIEW,
    VULKAN,
    VULKAN_SCOPED,
    WAYLAND,
    Argument,
    Calls,
)

LISTS: dict[str, Calls] = {
    "session": SESSION,
    "device": DEVICE,
    "graphics": GRAPHICS,
    "wayland": WAYLAND,
    "view": VIEW,
    "vulkan": VULKAN,
    "vulkan-scoped": VULKAN_SCOPED,
}
NOTHING_DONE: dict[str, Calls] = {"vulkan": NOT_SEALED, "vulkan-scoped": NOT_SEALED}

# <seccomp.h>
SCMP_ACT_ALLOW = 0x7FFF0000
SCMP_ACT_NOTHING = 0x00050000  # it returns 0
SCMP_ACT_ENOSYS = 0x00050000 | errno.ENOSYS
SCMP_CMP_EQ, SCMP_CMP_MASKED_EQ = 4, 7
SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE = 8, 2
ARGUMENT = struct.Struct("=IIQQ")

# <linux/seccomp.h>, <linux/filter.h>, <sys/prctl.h>
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 1, 1
PR_SET_NO_NEW_PRIVS = 38
INSTRUCTION = struct.Struct("=HBBI")
VALUE = struct.Struct("=I")
JUMP_IF_EQUAL = 0x15


class Program(NamedTuple):
    """A compiled list, the offsets at which it has OWN_PROCESS, and the number of seccomp(2)
    here.
    """

    instructions: bytes
    own_process: tuple[int, ...]
    seccomp: int


def prepare() -> None:
    """Compiles every list, for the processes that are forked from this one.

    If that fails, each of those logs it.
    """
    for name in LISTS:
        try:
            compiled(name)
        except WallError:
            return


def confine(name: str) -> None:
    """From now on every thread of this process, also those of libraries, can make only the calls of
    that list.
    """
    program = compiled(name)
    instructions = ctypes.create_string_buffer(program.instructions, len(program.instructions))
    for offset in program.own_process:
        VALUE.pack_into(instructions, offset, os.getpid())
    count = len(instructions) // INSTRUCTION.size
    filter_ = struct.pack("@HP", count, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise WallError(f"no_new_privs: {os.strerror(ctypes.get_errno())}")
    # A number above 0 is a thread that has another filter.
    if libc.syscall(program.seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, filter_):
        raise WallError(f"seccomp: {os.strerror(ctypes.get_errno())}")


@cache
def compiled(name: str) -> Program:
    """A list, by the name that it has in LISTS."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise WallError(str(error)) from error
    library.seccomp_init.restype = ctypes.c_void_p
    made = library.seccomp_init(SCMP_ACT_ENOSYS)
    if made is None:
        raise WallError("libseccomp cannot make a list")
    context = ctypes.c_void_p(made)
    try:
        _check(library.seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE))
        _add(library, context, LISTS[name], SCMP_ACT_ALLOW)
        _add(library, context, NOTHING_DONE.get(name, {}), SCMP_ACT_NOTHING)
        seccomp = library.seccomp_syscall_resolve_name(b"seccomp")
        instructions = _exported(library, context)
        return Program(instructions, tuple(_own_process(instructions)), seccomp)
    finally:
        library.seccomp_release(context)


def _add(library: Any, context: ctypes.c_void_p, calls: Calls, action: int) -> None:
    for call, conditions in calls.items():
        number = library.seccomp_syscall_resolve_name(call.encode())
        # An architecture may not have a call; a library may be older than it.
        if number < 0:
            continue
        for condition in conditions:
            packed = b"".join(map(_packed, condition))
            _check(library.seccomp_rule_add_array(context, action, number, len(condition), packed))


def _packed(argument: Argument) -> bytes:
    place, value, mask = argument
    if mask == MAX_U64:
        return ARGUMENT.pack(place, SCMP_CMP_EQ, value, 0)
    return ARGUMENT.pack(place, SCMP_CMP_MASKED_EQ, mask, value)


def _exported(library: Any, context: ctypes.c_void_p) -> bytes:
    with os.fdopen(os.memfd_create("calls", os.MFD_CLOEXEC), "rb") as file:
        _check(library.seccomp_export_bpf(context, file.fileno()))
        file.seek(0)
        return file.read()


def _own_process(instructions: bytes) -> Iterator[int]:
    """The offsets where an instruction compares with OWN_PROCESS."""
    for index, (code, _, _, value) in enumerate(INSTRUCTION.iter_unpack(instructions)):
        if code == JUMP_IF_EQUAL and value == OWN_PROCESS:
            yield (index + 1) * INSTRUCTION.size - VALUE.size


def _check(result: int) -> None:
    if result:
        raise WallError(f"libseccomp: {os.strerror(-result)}")
