# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A cursor queue with a driver on one side, a presenter and QEMU's display on the other."""

from __future__ import annotations

import os

from tests.driver.memory import GuestMemory
from tests.driver.queue import Pending, Queue
from vgpud.native import ffi, lib

from .device_end import Image
from .presenting import Presenting
from .tables import share

F_EVENT_IDX = 1 << 29
F_RING_PACKED = 1 << 34


class CursorEnd:
    """``run`` does what the queue holds; ``queue`` is the driver's half."""

    def __init__(
        self, presenting: Presenting, *, num_scanouts: int = 2, packed: bool = False, size: int = 16
    ) -> None:
        self.presenting = presenting
        self.guest = GuestMemory()
        self.memory = lib.guest_memory_new()
        share(self.memory, self.guest.regions)
        self.state_fd = lib.session_state_create()
        self.state = lib.session_state_map(self.state_fd)
        self.cursor = lib.cursor_new(self.memory, self.state, presenting.presenter, num_scanouts)
        self.queue = Queue(self.guest, size, packed=packed, event_idx=not packed)
        self.features = F_RING_PACKED if packed else F_EVENT_IDX
        self.unknown = 0
        self.images: list[Image] = []
        self.start(0x80008000 if packed else 0)

    def start(self, base: int) -> None:
        ring = self.queue.ring
        config = ffi.new(
            "struct virtqueue_config *",
            {
                "size": ring.size,
                "features": self.features,
                "descriptor": self.guest.user_address(ring.descriptor),
                "available": self.guest.user_address(ring.available),
                "used": self.guest.user_address(ring.used),
            },
        )
        queue = self.queue
        result = lib.cursor_queue_start(self.cursor, config, base, queue.call_fd, queue.err_fd)
        assert result == 0
        assert lib.cursor_queue_set_fd(self.cursor, lib.QUEUE_KICK, queue.kick_fd) == 0
        assert lib.cursor_queue_set_enabled(self.cursor, 1) == 0

    def stop(self) -> int:
        base = ffi.new("uint32_t *")
        assert lib.cursor_queue_stop(self.cursor, base) == 0
        return int(base[0])

    def image(
        self,
        resource_id: int,
        width: int,
        height: int,
        pixels: bytes,
        slot: int = 0,
    ) -> Image:
        """A resource of which the daemon knows."""
        image = Image(resource_id, width, height)
        image.draw(slot, pixels)
        image.pixels[0:4] = slot.to_bytes(4, "little")
        result = lib.cursor_image_add(self.cursor, resource_id, width, height, image.fd)
        assert result == 0
        self.images.append(image)
        return image

    def run(self) -> int:
        resource_id = ffi.new("uint32_t *")
        result = lib.cursor_run(self.cursor, resource_id)
        self.unknown = resource_id[0]
        return int(result)

    def submit(self, request: bytes, response_length: int = 0) -> Pending:
        return self.queue.submit(request, response_length)

    def done(self, pending: Pending) -> bool:
        return self.queue.finished(pending) is not None

    def close(self) -> None:
        lib.cursor_free(self.cursor)
        lib.session_state_unmap(self.state)
        lib.guest_memory_free(self.memory)
        os.close(self.state_fd)
        for image in self.images:
            image.close()
        self.queue.close()
        self.guest.close()
        del self.queue, self.guest  # and their mappings' descriptors
