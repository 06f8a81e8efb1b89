# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A guest with a virtio-gpu driver, as far as tests need one."""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import commands
from .commands import HEADER_SIZE, Format, Rectangle, Response, ResponseType, read_response
from .memory import PAGE, GuestMemory, Scattered
from .queue import Pending, Queue

CONTROL_QUEUE_SIZE = 64
CURSOR_QUEUE_SIZE = 16


class CommandFailedError(Exception):
    """The device answered with an error where the test wanted success."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"response type {response.type:#x}")
        self.response = response


@dataclass
class Resource:
    """A 2D resource and the guest pages that back it (none before ``attach``)."""

    resource_id: int
    format: Format
    width: int
    height: int
    entries: list[tuple[int, int]]

    @property
    def stride(self) -> int:
        return self.width * 4

    @property
    def offset(self) -> int:
        """Of the first pixel in the backing, in bytes."""
        return 0

    @property
    def size(self) -> int:
        """Bytes of backing from the first to the last pixel's end."""
        return self.offset + self.stride * (self.height - 1) + self.width * 4

    @property
    def whole(self) -> Rectangle:
        return Rectangle(0, 0, self.width, self.height)


@dataclass
class Blob(Resource):
    """A guest blob with one framebuffer in it, whose rows are ``pitch`` bytes apart."""

    pitch: int
    begin: int

    @property
    def stride(self) -> int:
        return self.pitch

    @property
    def offset(self) -> int:
        return self.begin

    @property
    def plane(self) -> commands.Plane:
        return commands.Plane(self.width, self.height, self.format, self.pitch, self.begin)


def set_scanout_request(scanout_id: int, resource: Resource, area: Rectangle) -> bytes:
    """SET_SCANOUT, or SET_SCANOUT_BLOB of a blob."""
    if isinstance(resource, Blob):
        return commands.set_scanout_blob(scanout_id, resource.resource_id, area, resource.plane)
    return commands.set_scanout(scanout_id, resource.resource_id, area)


class Guest:
    """Two queues over one guest memory.

    ``control`` and ``cursor`` are open to whoever needs more than the methods here: hostile descriptors, many
    requests in flight, no waiting.
    """

    def __init__(
        self,
        memory: GuestMemory,
        *,
        packed: bool = False,
        event_idx: bool = False,
        indirect: bool = False,
        control_size: int = CONTROL_QUEUE_SIZE,
        cursor_size: int = CURSOR_QUEUE_SIZE,
        run_pages: int = 1,
        timeout: float = 5.0,
    ) -> None:
        """``run_pages``: pages that lie together in a resource's backing; ``timeout``: seconds that any answer may take."""
        self.memory = memory
        self.packed = packed
        self.event_idx = event_idx
        self.indirect = indirect
        self.run_pages = run_pages
        self.timeout = timeout
        self.control = Queue(memory, control_size, packed=packed, event_idx=event_idx)
        self.cursor = Queue(memory, cursor_size, packed=packed, event_idx=event_idx)
        self._next_resource_id = 1
        self._cursor_resource_id = 0

    @property
    def queues(self) -> tuple[Queue, Queue]:
        """In the order of their indices."""
        return self.control, self.cursor

    def fresh_rings(self) -> None:
        """Both queues again, as after a reset of the device; resource ids start again too."""
        sizes = [queue.ring.size for queue in self.queues]
        for queue in self.queues:
            queue.close()
        self.control, self.cursor = (
            Queue(self.memory, size, packed=self.packed, event_idx=self.event_idx) for size in sizes
        )
        self._next_resource_id = 1

    def close(self) -> None:
        for queue in self.queues:
            queue.close()

    def submit(self, request: bytes, response_length: int = HEADER_SIZE) -> Pending:
        """Puts a command into the control queue and does not wait."""
        return self.control.submit(request, response_length, indirect=self.indirect)

    def wait(self, pending: Pending) -> Response:
        return read_response(*self.control.wait(pending, self.timeout))

    def ask(self, request: bytes, response_length: int = HEADER_SIZE) -> Response:
        """A command and its response, whatever that is."""
        return self.wait(self.submit(request, response_length))

    def do(self, request: bytes, response_length: int = HEADER_SIZE) -> Response:
        """A command that has to succeed."""
        response = self.ask(request, response_length)
        if not response.ok:
            raise CommandFailedError(response)
        return response

    def create_2d(
        self,
        width: int,
        height: int,
        pixel_format: Format = Format.B8G8R8X8_UNORM,
        *,
        backed: bool = True,
        seed: int | None = 0,
    ) -> Resource:
        """A resource, with scattered backing (see ``attach``) unless ``backed`` is false."""
        resource = Resource(self._next_resource_id, pixel_format, width, height, [])
        self._next_resource_id += 1
        self.do(commands.resource_create_2d(resource.resource_id, pixel_format, width, height))
        if backed:
            self.attach(resource, seed=seed)
        return resource

    def create_blob(
        self,
        width: int,
        height: int,
        pixel_format: Format = Format.B8G8R8X8_UNORM,
        *,
        stride: int | None = None,
        offset: int = 0,
        seed: int | None = 0,
    ) -> Blob:
        """A guest blob with room for such a framebuffer, in scattered pages as Linux has them."""
        number = self._next_resource_id
        pitch = width * 4 if stride is None else stride
        blob = Blob(number, pixel_format, width, height, [], pitch, offset)
        self._next_resource_id += 1
        blob.entries = self._pages(blob, seed, self.run_pages)
        self.do(commands.resource_create_blob(number, blob.size, blob.entries))
        return blob

    def attach(
        self, resource: Resource, *, seed: int | None = 0, run_pages: int | None = None
    ) -> None:
        """Gives a resource new pages: entries of ``run_pages`` each, in an order shuffled by ``seed`` (None: as they lie)."""
        resource.entries = self._pages(resource, seed, run_pages or self.run_pages)
        self.do(commands.resource_attach_backing(resource.resource_id, resource.entries))

    def _pages(self, resource: Resource, seed: int | None, run_pages: int) -> list[tuple[int, int]]:
        run = PAGE * run_pages
        count = -(-resource.size // run)
        addresses = [self.memory.allocate(run, PAGE) for _ in range(count)]
        if seed is not None:
            random.Random(seed).shuffle(addresses)
        return [(address, run) for address in addresses]

    def detach(self, resource: Resource) -> None:
        self.do(commands.resource_detach_backing(resource.resource_id))
        resource.entries = []

    def unref(self, resource: Resource) -> None:
        self.do(commands.resource_unref(resource.resource_id))

    def draw(self, resource: Resource, rectangle: Rectangle, pixels: bytes) -> None:
        """Writes pixels (rows without gaps, in the resource's format) into the backing; the device is not told."""
        backing = Scattered(self.memory, resource.entries)
        row = rectangle.width * 4
        if row == resource.stride:
            backing.write(resource.offset + rectangle.y * row, pixels)
            return
        for index in range(rectangle.height):
            offset = (rectangle.y + index) * resource.stride + rectangle.x * 4
            backing.write(resource.offset + offset, pixels[index * row : (index + 1) * row])

    def fill(self, resource: Resource, pixel: bytes) -> None:
        """The whole backing in one colour of four bytes."""
        self.draw(resource, resource.whole, pixel * (resource.width * resource.height))

    def transfer(
        self, resource: Resource, rectangle: Rectangle | None = None, *, fence_id: int | None = None
    ) -> Response:
        """Backing to the device's image, as Linux does: the offset is that of the rectangle's first pixel."""
        area = rectangle or resource.whole
        offset = area.y * resource.stride + area.x * 4
        return self.do(
            commands.transfer_to_host_2d(resource.resource_id, area, offset, fence_id=fence_id)
        )

    def set_scanout(
        self, scanout_id: int, resource: Resource | None, rectangle: Rectangle | None = None
    ) -> Response:
        """``resource`` None disables the scanout."""
        if resource is None:
            return self.do(commands.set_scanout(scanout_id, 0, Rectangle(0, 0, 0, 0)))
        area = rectangle or resource.whole
        return self.do(set_scanout_request(scanout_id, resource, area))

    def flush(
        self, resource: Resource, rectangle: Rectangle | None = None, *, fence_id: int | None = None
    ) -> Response:
        area = rectangle or resource.whole
        return self.do(commands.resource_flush(resource.resource_id, area, fence_id=fence_id))

    def show(self, resource: Resource, scanout_id: int = 0) -> None:
        """Transfer, set_scanout, flush: the whole picture on one scanout."""
        self.transfer(resource)
        self.set_scanout(scanout_id, resource)
        self.flush(resource)

    def display_info(self) -> Response:
        return self.ask(commands.get_display_info(), commands.DISPLAY_INFO_SIZE)

    def edid(self, scanout_id: int) -> Response:
        return self.ask(commands.get_edid(scanout_id), commands.EDID_SIZE)

    def update_cursor(
        self,
        resource: Resource | None,
        x: int,
        y: int,
        hot_x: int = 0,
        hot_y: int = 0,
        scanout_id: int = 0,
    ) -> None:
        """Shows ``resource`` as the cursor's picture, or hides the cursor (None)."""
        self._cursor_resource_id = resource.resource_id if resource else 0
        self._cursor(
            commands.update_cursor(scanout_id, x, y, self._cursor_resource_id, hot_x, hot_y)
        )

    def move_cursor(self, x: int, y: int, scanout_id: int = 0) -> None:
        self._cursor(commands.move_cursor(scanout_id, x, y, self._cursor_resource_id))

    def _cursor(self, request: bytes) -> None:
        # As Linux: a cursor command has no response buffer, only its chain comes back.
        pending = self.cursor.submit(request, 0, indirect=self.indirect)
        self.cursor.wait(pending, self.timeout)


__all__ = [
    "CommandFailedError",
    "Format",
    "Guest",
    "Rectangle",
    "Resource",
    "Response",
    "ResponseType",
]
