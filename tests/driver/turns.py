# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How the kernel shares processors out among threads, as sched_getattr(2) says it."""

import ctypes
import os
import platform
from pathlib import Path
from typing import NamedTuple

import pytest

from vgpud.tree.process import SCHED_ATTR, SCHED_SETATTR

# The call after it in every architecture's table.
SCHED_GETATTR = SCHED_SETATTR.get(platform.machine(), -1) + 1


class Turns(NamedTuple):
    """``slice``: nanoseconds; 0 before Linux 6.12, where threads have none of their own."""

    policy: int
    nice: int
    slice: int


def turns_of(thread: int) -> Turns:
    room = ctypes.create_string_buffer(SCHED_ATTR.size)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(SCHED_GETATTR, thread, room, len(room), 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _, policy, _, nice, _, slice_, _, _ = SCHED_ATTR.unpack(room.raw)
    return Turns(policy, nice, slice_)


def turns_of_process(process_id: int) -> set[Turns]:
    """Of all its threads."""
    return {turns_of(int(path.name)) for path in Path(f"/proc/{process_id}/task").iterdir()}


needs_slices = pytest.mark.skipif(
    platform.machine() not in SCHED_SETATTR or not turns_of(0).slice,
    reason="before Linux 6.12 threads have no slices of their own",
)
