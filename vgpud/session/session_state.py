# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The memory that outlives device processes: the queues' positions, what is in flight, scanouts. A
device process that was taken over may write anything: whatever is read here is only a number.
"""

import os
from typing import Any

from vgpud.native import checked, ffi, lib, made
from vgpud.session.journal import MEMORY_ENTRY_BYTES, Blob
from vgpud.tree.messages import Scanout
from vgpud.wire.virtio_gpu import VIRTIO_GPU_FLAG_FENCE

CONTROL_QUEUE, CURSOR_QUEUE = range(2)


class SessionState:
    """``descriptor`` is the memory file that device processes get, ``pointer`` is its mapping."""

    def __init__(self) -> None:
        self.descriptor = checked(lib.session_state_create())
        try:
            self.pointer = made(lib.session_state_map(self.descriptor))
        except BaseException:
            os.close(self.descriptor)
            raise

    @property
    def progress(self) -> int:
        """A number that grows with each command and each wake-up of the device process."""
        return int(self.pointer.progress)

    @property
    def command(self) -> tuple[int, int]:
        """Type and context of the command that the device process is executing; the type is 0 when
        there is none.
        """
        return int(self.pointer.command), int(self.pointer.command_ctx_id)

    def control_base(self, packed: bool) -> int:
        """What GET_VRING_BASE answers when no device process is left to say it."""
        queue = self.pointer.queues[CONTROL_QUEUE]
        available = int(queue.available) & 0xFFFF
        return available | (int(queue.used) & 0xFFFF) << 16 if packed else available

    def scanouts(self) -> list[Scanout]:
        """The enabled scanouts, as the device process states them; their resources may not
        exist.
        """
        table = self.pointer.scanouts
        return [
            Scanout(number, one.resource_id, one.x, one.y, one.width, one.height)
            for number, one in enumerate(table)
            if one.resource_id
        ]

    def picture(self, scanout_id: int, memory: Any, blob: Blob, most: int) -> int | None:
        """A new image of what a scanout shows of a guest blob, from guest memory as it is now: its
        descriptor, which the caller owns; None when nothing is shown, or it has more than ``most``
        bytes.
        """
        # A copy: the device process could change it while we check it.
        shown = ffi.new("struct surface_state *", self.pointer.scanouts[scanout_id])
        count = len(blob.entries) // MEMORY_ENTRY_BYTES
        picture = int(lib.blob_picture_new(memory, blob.entries, count, blob.size, shown, most))
        return picture if picture >= 0 else None

    def in_flight(self, queue: int) -> tuple[int, int]:
        """How many chains of a queue have been taken and not given back, and how many of those are
        commands with a fence.
        """
        flags = [chain.flags for chain in self.pointer.queues[queue].chains if chain.in_flight]
        return len(flags), sum(bool(flag & VIRTIO_GPU_FLAG_FENCE) for flag in flags)

    def counters(self) -> dict[str, int]:
        """What was done since the session started."""
        counters = self.pointer.counters
        return {name: int(getattr(counters, name)) for name, _ in ffi.typeof(counters).fields}

    def forget_scanouts(self) -> None:
        """Disables all scanouts: the device was reset while there was no device process."""
        for scanout in self.pointer.scanouts:
            scanout.resource_id = 0

    def close(self) -> None:
        lib.session_state_unmap(self.pointer)
        os.close(self.descriptor)
