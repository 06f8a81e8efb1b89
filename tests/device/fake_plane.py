# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A data plane without a queue: the tables are the real ones, and what it is told is kept for tests of what tells it.

All of it is tested with a driver on a ring; this is for the rules that stand in Python alone.
"""

import errno
import os
from collections.abc import Callable
from typing import Any

from vgpud.device.dataplane import DataPlane
from vgpud.link.memory_table import MemoryTable
from vgpud.link.messages import Limits, MemoryRegion, QueueConfig
from vgpud.native import lib
from vgpud.session.session_state import SessionState
from vgpud.wire import virtio_gpu as wire
from vgpud.wire.layout import size_of, unpack

MEMORY = MemoryRegion(0, 1 << 20, 0, 0)


class FakeTable(MemoryTable):
    """``call`` notes what is done with it."""

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call

    def __exit__(self, *error: object) -> None:
        """It has nothing to give up."""

    def add(self, region: MemoryRegion, descriptor: int) -> None:
        self._call("add", region, os.fstat(descriptor).st_ino)

    def remove(self, region: MemoryRegion) -> None:
        self._call("remove", region)

    def clear(self) -> None:
        self._call("clear")

    def set_log(self, descriptor: int, size: int, offset: int) -> None:
        self._call("set_log", descriptor != -1, size, offset)

    def use(self) -> None:
        self._call("use")


class FakePlane(DataPlane):
    """``responses`` are (chain, type, body), in the order in which they were given; ``calls`` what else was asked, but
    for questions about its tables.
    """

    def __init__(self, draws: bool, limits: Limits, num_scanouts: int) -> None:
        self.responses: list[tuple[int, int, bytes]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.backing: dict[int, bytes] = {}
        self.fails_with = 0
        self.lost = 0
        self.memory_is_gone = False
        self._state = SessionState()
        super().__init__(draws, limits, num_scanouts, -1, self._state.descriptor, -1)
        self._add_memory()

    def _add_memory(self) -> None:
        file = os.memfd_create("guest memory")
        os.truncate(file, MEMORY.size)
        with super().memory_change() as table:
            table.add(MEMORY, file)
            table.use()
        os.close(file)

    def close(self) -> None:
        lib.device_free(self._device)
        lib.guest_memory_free(self._memory)
        self._state.close()

    def _call(self, *call: Any) -> None:
        if self.fails_with:
            raise OSError(self.fails_with, os.strerror(self.fails_with))
        self.calls.append(call)

    def respond(self, chain: int, response: bytes) -> None:
        if self.memory_is_gone:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        header = unpack(wire.virtio_gpu_ctrl_hdr, response)
        self.responses.append((chain, header.type, response[size_of(type(header)) :]))

    def queue_start(
        self, config: QueueConfig, base: int, recover: bool, kick: int, call: int, err: int
    ) -> None:
        given = [fd if fd == -1 else os.fstat(fd).st_ino for fd in (kick, call, err)]
        self._call("queue_start", config, base, recover, *given)

    def queue_stop(self) -> int:
        self._call("queue_stop")
        return 77

    def queue_set_enabled(self, enabled: bool) -> None:
        self._call("queue_set_enabled", enabled)

    def queue_set_descriptor(self, which: str, descriptor: int) -> None:
        self._call("queue_set_descriptor", which, descriptor != -1)

    def memory_change(self) -> MemoryTable:
        return FakeTable(self._call)

    def memory_set_logging(self, enabled: bool) -> None:
        self._call("memory_set_logging", enabled)

    def lost_backings(self) -> int:
        return self.lost

    def resource_create_2d(self, resource_id: int, format: int, width: int, height: int) -> None:
        self._call("resource_create_2d", resource_id, format, width, height)
        super().resource_create_2d(resource_id, format, width, height)

    def resource_adopt_2d(
        self, resource_id: int, format: int, width: int, height: int, image_fd: int
    ) -> None:
        self._call("resource_adopt_2d", resource_id, format, width, height)
        super().resource_adopt_2d(resource_id, format, width, height, image_fd)

    def resource_unref(self, resource_id: int) -> None:
        super().resource_unref(resource_id)
        self.backing.pop(resource_id, None)

    def resource_attach_backing(self, resource_id: int, entries: bytes, nr_entries: int) -> None:
        super().resource_attach_backing(resource_id, entries, nr_entries)
        self.backing[resource_id] = entries

    def resource_detach_backing(self, resource_id: int) -> None:
        super().resource_detach_backing(resource_id)
        self.backing.pop(resource_id)

    def scanout_set(
        self, scanout_id: int, resource_id: int, x: int, y: int, width: int, height: int
    ) -> None:
        super().scanout_set(scanout_id, resource_id, x, y, width, height)
        self._call("scanout_set", scanout_id, resource_id, x, y, width, height)

    def repaint(self) -> None:
        self._call("repaint")

    def reset(self) -> None:
        super().reset()
        self.backing.clear()
        self.calls.append(("reset",))
