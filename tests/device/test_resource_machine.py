# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Any sequence of resource commands is answered as a simple model of the device says, and draws what it says."""

import random
from dataclasses import dataclass, field
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from vgpud.link import messages

from ..driver import commands
from ..driver.commands import Format, Rectangle, ResponseType
from ..driver.gpu import Guest
from ..driver.memory import PAGE, GuestMemory, MiB, Scattered
from .images import newest_pixels
from .process import LIMITS, DeviceProcess

SCANOUTS = 2
# Few numbers and small images, so that the same ones are met again and again.
numbers = st.integers(0, 4)
sides = st.integers(1, 70)
scanouts = st.integers(0, SCANOUTS)
coordinates = st.integers(0, 80)
rectangles = st.builds(Rectangle, coordinates, coordinates, coordinates, coordinates)


def _places(format: Format) -> list[int | None]:
    """Where blue, green, red and alpha of a pixel lie in memory; None: there is none, and it is opaque."""
    if format is Format.B8G8R8X8_UNORM:
        return [0, 1, 2, 3]  # is copied as it is
    name = "".join(character for character in format.name if character in "BGRAX")
    return [name.index(channel) if channel in name else None for channel in "BGRA"]


@dataclass
class Model:
    """A resource as the specification describes it, its pixels as B, G, R, A."""

    format: Format
    width: int
    height: int
    pixels: bytearray
    backing: list[tuple[int, int]] | None = None

    def holds(self, rectangle: Rectangle) -> bool:
        return (
            rectangle.x + rectangle.width <= self.width
            and rectangle.y + rectangle.height <= self.height
        )

    def draw(self, memory: GuestMemory, rectangle: Rectangle, offset: int) -> None:
        assert self.backing is not None
        source = Scattered(memory, self.backing)
        for row in range(rectangle.height):
            line = source.read(offset + row * self.width * 4, rectangle.width * 4)
            start = ((rectangle.y + row) * self.width + rectangle.x) * 4
            self.pixels[start : start + len(line)] = self._converted(line)

    def _converted(self, line: bytes) -> bytearray:
        out = bytearray(len(line))
        for channel, place in enumerate(_places(self.format)):
            out[channel::4] = b"\xff" * (len(line) // 4) if place is None else line[place::4]
        return out

    def has_bytes(self, rectangle: Rectangle, offset: int) -> bool:
        """Whether the backing holds all that a transfer reads."""
        assert self.backing is not None
        size = sum(length for _, length in self.backing)
        rows = (rectangle.height - 1) * self.width * 4 + rectangle.width * 4
        return offset + rows <= size


@dataclass
class World:
    """The process and its guest, kept from one example to the next; a reset parts them."""

    memory: GuestMemory = field(default_factory=lambda: GuestMemory(4 * MiB, 4 * MiB))

    def __post_init__(self) -> None:
        self.guest = Guest(self.memory, indirect=True)
        self.process = DeviceProcess(limits=LIMITS, num_scanouts=SCANOUTS)
        self.process.share(self.memory)
        self.process.start_queue(self.guest)
        self.pages = self.memory.allocate_pages(64)
        for page in self.pages:
            self.memory.write(page, random.Random(page).randbytes(PAGE))

    def reset(self) -> None:
        base = self.process.stop_queue()
        self.process.do(messages.Reset())
        self.process.forget_images()
        self.process.start_queue(self.guest, base)

    def close(self) -> None:
        self.process.close()
        self.guest.close()
        self.memory.close()


class Resources(RuleBasedStateMachine):
    """Commands, right and wrong, and the model's word on each."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.world.reset()
        self.resources: dict[int, Model] = {}
        self.scanouts: dict[int, int] = {}

    def _expect(self, request: bytes, expected: int) -> None:
        assert self.world.guest.ask(request).type == expected

    @rule(number=numbers, format=st.sampled_from(Format), width=sides, height=sides)
    def create(self, number: int, format: Format, width: int, height: int) -> None:
        request = commands.resource_create_2d(number, format, width, height)
        if number == 0 or number in self.resources:
            self._expect(request, ResponseType.ERR_INVALID_RESOURCE_ID)
            return
        self._expect(request, ResponseType.OK_NODATA)
        self.resources[number] = Model(format, width, height, bytearray(width * height * 4))

    @rule(number=numbers)
    def unref(self, number: int) -> None:
        request = commands.resource_unref(number)
        if self.resources.pop(number, None) is None:
            self._expect(request, ResponseType.ERR_INVALID_RESOURCE_ID)
            return
        self._expect(request, ResponseType.OK_NODATA)
        self.scanouts = {key: shown for key, shown in self.scanouts.items() if shown != number}

    @rule(number=numbers, count=st.integers(0, 8), data=st.data())
    def attach(self, number: int, count: int, data: st.DataObject) -> None:
        pages = data.draw(st.permutations(self.world.pages))[:count]
        entries = [(page + data.draw(st.integers(0, 64)), 3000) for page in pages]
        request = commands.resource_attach_backing(number, entries)
        resource = self.resources.get(number)
        if resource is None:
            self._expect(request, ResponseType.ERR_INVALID_RESOURCE_ID)
        elif resource.backing is not None:
            self._expect(request, ResponseType.ERR_UNSPEC)
        else:
            self._expect(request, ResponseType.OK_NODATA)
            resource.backing = entries

    @rule(number=numbers)
    def attach_outside_memory(self, number: int) -> None:
        entries = [(self.world.pages[0], PAGE), (1 << 45, PAGE)]
        request = commands.resource_attach_backing(number, entries)
        if number in self.resources:
            self._expect(request, ResponseType.ERR_UNSPEC)
        else:
            self._expect(request, ResponseType.ERR_INVALID_RESOURCE_ID)

    @rule(number=numbers)
    def detach(self, number: int) -> None:
        request = commands.resource_detach_backing(number)
        resource = self.resources.get(number)
        if resource is None:
            self._expect(request, ResponseType.ERR_INVALID_RESOURCE_ID)
        elif resource.backing is None:
            self._expect(request, ResponseType.ERR_UNSPEC)
        else:
            self._expect(request, ResponseType.OK_NODATA)
            resource.backing = None

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), right=st.booleans())
    def transfer(self, data: st.DataObject, right: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.resources)))
        resource = self.resources[number]
        rectangle = data.draw(_inside(resource) if right else rectangles)
        offset = data.draw(st.integers(0, 200)) * 4
        request = commands.transfer_to_host_2d(number, rectangle, offset)
        if resource.backing is None:
            self._expect(request, ResponseType.ERR_UNSPEC)
        elif not resource.holds(rectangle):
            self._expect(request, ResponseType.ERR_INVALID_PARAMETER)
        elif rectangle.width == 0 or rectangle.height == 0:
            self._expect(request, ResponseType.OK_NODATA)
        elif not resource.has_bytes(rectangle, offset):
            self._expect(request, ResponseType.ERR_INVALID_PARAMETER)
        else:
            self._expect(request, ResponseType.OK_NODATA)
            resource.draw(self.world.memory, rectangle, offset)

    @rule(number=numbers, rectangle=rectangles)
    def flush(self, number: int, rectangle: Rectangle) -> None:
        request = commands.resource_flush(number, rectangle)
        resource = self.resources.get(number)
        if resource is None:
            self._expect(request, ResponseType.ERR_INVALID_RESOURCE_ID)
        elif not resource.holds(rectangle):
            self._expect(request, ResponseType.ERR_INVALID_PARAMETER)
        else:
            self._expect(request, ResponseType.OK_NODATA)

    @rule(scanout=scanouts, number=numbers, rectangle=rectangles)
    def set_scanout(self, scanout: int, number: int, rectangle: Rectangle) -> None:
        request = commands.set_scanout(scanout, number, rectangle)
        resource = self.resources.get(number)
        if scanout >= SCANOUTS:
            self._expect(request, ResponseType.ERR_INVALID_SCANOUT_ID)
        elif number == 0:
            self._expect(request, ResponseType.OK_NODATA)
            self.scanouts.pop(scanout, None)
        elif resource is None:
            self._expect(request, ResponseType.ERR_INVALID_RESOURCE_ID)
        elif rectangle.width == 0 or rectangle.height == 0 or not resource.holds(rectangle):
            self._expect(request, ResponseType.ERR_INVALID_PARAMETER)
        else:
            self._expect(request, ResponseType.OK_NODATA)
            self.scanouts[scanout] = number

    def teardown(self) -> None:
        """What the daemon was told is what there is, and the images have the model's pixels."""
        # What was said before the answer to this has been heard.
        self.world.process.request(messages.Ping())
        images = self.world.process.images
        assert images.keys() == self.resources.keys()
        for number, resource in self.resources.items():
            pixels = newest_pixels(images[number], resource.width, resource.height)
            assert pixels == resource.pixels, f"resource {number}"


def _inside(resource: Model) -> st.SearchStrategy[Rectangle]:
    def sized(x: int, y: int) -> st.SearchStrategy[Rectangle]:
        widths = st.integers(0, resource.width - x)
        heights = st.integers(0, resource.height - y)
        return st.builds(Rectangle, st.just(x), st.just(y), widths, heights)

    corners = st.tuples(st.integers(0, resource.width), st.integers(0, resource.height))
    return corners.flatmap(lambda corner: sized(*corner))


def test_resources_follow_the_model() -> None:
    Resources.world = World()
    try:
        Resources.TestCase.settings = settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        Resources.TestCase("runTest").runTest()
    finally:
        Resources.world.close()
