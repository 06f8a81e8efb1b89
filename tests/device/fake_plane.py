# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A data plane without memory, queue or images: it keeps what it is told, for tests of what tells
it.

The real one is tested with a driver on a ring; this is for the rules that stand in Python alone.
"""

import errno
import os
from collections.abc import Callable
from typing import Any

from vgpud.device.dataplane import DataPlane
from vgpud.link.memory_table import MemoryTable
from vgpud.link.messages import MemoryRegion, QueueConfig
from vgpud.wire import virtio_gpu as wire
from vgpud.wire.layout import size_of, unpack


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
    """``responses`` are (chain, type, body), in the order in which they were given."""

    def __init__(self) -> None:
        self.responses: list[tuple[int, int, bytes]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.images: dict[int, int] = {}
        self.backing: dict[int, bytes] = {}
        self.fails_with = 0
        self.lost = 0
        self.memory_is_gone = False

    def close(self) -> None:
        self.reset()

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
        self.images[resource_id] = os.memfd_create(f"image {resource_id}")

    def resource_adopt_2d(
        self, resource_id: int, format: int, width: int, height: int, image_fd: int
    ) -> None:
        self._call("resource_adopt_2d", resource_id, format, width, height)
        self.images[resource_id] = os.dup(image_fd)

    def resource_image_fd(self, resource_id: int) -> int:
        return self.images[resource_id]

    def resource_has_image(self, resource_id: int) -> bool:
        return resource_id in self.images

    def resource_unref(self, resource_id: int) -> None:
        self._call("resource_unref", resource_id)
        os.close(self.images.pop(resource_id))
        self.backing.pop(resource_id, None)

    def resource_attach_backing(self, resource_id: int, entries: bytes, nr_entries: int) -> None:
        self._call("resource_attach_backing", resource_id, nr_entries)
        if resource_id in self.backing:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        self.backing[resource_id] = entries

    def resource_detach_backing(self, resource_id: int) -> None:
        self._call("resource_detach_backing", resource_id)
        self.backing.pop(resource_id)

    def scanout_set(
        self, scanout_id: int, resource_id: int, x: int, y: int, width: int, height: int
    ) -> None:
        self._call("scanout_set", scanout_id, resource_id, x, y, width, height)

    def repaint(self) -> None:
        self._call("repaint")

    def reset(self) -> None:
        while self.images:
            os.close(self.images.popitem()[1])
        self.backing.clear()
        self.calls.append(("reset",))
