# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Guest blobs, put on a ring by a driver and answered by a device process of each mode."""

import os
from collections.abc import Iterator

import pytest

from vgpud.link import messages

from ..driver import commands, commands_3d
from ..driver.commands import Format, Plane, Rectangle, ResponseType
from ..driver.frontend import Feature
from ..driver.gpu import Blob, Guest
from ..driver.memory import PAGE, GuestMemory, MiB
from .process import DeviceProcess, opengl_unavailable

WIDTH, HEIGHT, STRIDE = 40, 30, 40 * 4
WHOLE = Rectangle(0, 0, WIDTH, HEIGHT)
PLANE = Plane(WIDTH, HEIGHT, Format.B8G8R8X8_UNORM, STRIDE)
SIZE = STRIDE * HEIGHT
FEATURES = messages.SetFeatures(int(Feature.RESOURCE_BLOB | Feature.VERSION_1))

OK = ResponseType.OK_NODATA
INVALID_PARAMETER = ResponseType.ERR_INVALID_PARAMETER
INVALID_RESOURCE = ResponseType.ERR_INVALID_RESOURCE_ID


class Subject:
    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.memory = GuestMemory(8 * MiB)
        self.guest = Guest(self.memory, event_idx=True)
        self.process = DeviceProcess(mode)
        self.process.do(FEATURES)
        self.process.share(self.memory)
        self.process.start_queue(self.guest)

    def ask(self, request: bytes) -> int:
        return self.guest.ask(request).type

    def set_scanout(
        self, plane: Plane = PLANE, shown: Rectangle = WHOLE, number: int = 1, scanout: int = 0
    ) -> int:
        return self.ask(commands.set_scanout_blob(scanout, number, shown, plane))

    def close(self) -> None:
        self.process.close()
        self.guest.close()
        self.memory.close()


@pytest.fixture(scope="module", params=["2d", "null", "virglrenderer"])
def running(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "virglrenderer" and (reason := opengl_unavailable()):
        pytest.skip(reason)
    subject = Subject(request.param)
    yield subject
    subject.close()


@pytest.fixture
def subject(running: Subject) -> Iterator[Subject]:
    yield running
    base = running.process.stop_queue()
    running.process.do(messages.Reset())
    running.process.start_queue(running.guest, base)
    running.guest._next_resource_id = 1


def test_the_life_of_a_blob(subject: Subject) -> None:
    blob = subject.guest.create_blob(WIDTH, HEIGHT)
    # As Linux shows one: the transfer moves nothing.
    assert subject.guest.transfer(blob).ok
    assert subject.set_scanout() == OK
    assert subject.guest.flush(blob, fence_id=9).fence_id == 9
    uuid = subject.guest.do(commands.resource_assign_uuid(1), commands.RESOURCE_UUID_SIZE).data
    assert len(uuid) == 16
    subject.guest.detach(blob)
    assert subject.ask(commands.resource_flush(1, WHOLE)) == ResponseType.ERR_UNSPEC
    subject.guest.attach(blob)
    assert subject.guest.flush(blob).ok
    subject.guest.unref(blob)
    assert subject.set_scanout() == INVALID_RESOURCE


@pytest.mark.parametrize("format", list(Format))
@pytest.mark.parametrize("offset", [0, 4, 4095, PAGE])
def test_every_format_stride_and_offset_can_be_shown(
    subject: Subject, format: Format, offset: int
) -> None:
    blob = subject.guest.create_blob(WIDTH, HEIGHT, format, stride=STRIDE + offset, offset=offset)
    assert subject.set_scanout(blob.plane) == OK
    assert subject.guest.flush(blob).ok


MAX = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("plane", "shown"),
    [
        (Plane(WIDTH, HEIGHT, 0, STRIDE), WHOLE),
        (Plane(WIDTH, HEIGHT, 5, STRIDE), WHOLE),
        (Plane(WIDTH, HEIGHT, MAX, STRIDE), WHOLE),
        (Plane(0, HEIGHT, 2, STRIDE), WHOLE),
        (Plane(WIDTH, 0, 2, STRIDE), WHOLE),
        (Plane(WIDTH, HEIGHT + 1, 2, STRIDE), WHOLE),
        (Plane(WIDTH, HEIGHT, 2, STRIDE - 1), WHOLE),
        (Plane(WIDTH, HEIGHT, 2, 0), WHOLE),
        (Plane(WIDTH, HEIGHT, 2, STRIDE + 1), WHOLE),
        (Plane(WIDTH, HEIGHT, 2, MAX), WHOLE),
        (Plane(WIDTH, HEIGHT, 2, STRIDE, 1), WHOLE),
        (Plane(WIDTH, HEIGHT, 2, STRIDE, MAX), WHOLE),
        (Plane(MAX, HEIGHT, 2, MAX), WHOLE),
        (Plane(WIDTH, MAX, 2, STRIDE), WHOLE),
        (Plane(1 << 30, 1, 2, 0), Rectangle(0, 0, 1, 1)),
        (Plane(32768, 1, 2, MAX), Rectangle(0, 0, 1, 1)),
        (PLANE, Rectangle(0, 0, 0, HEIGHT)),
        (PLANE, Rectangle(0, 0, WIDTH + 1, 1)),
        (PLANE, Rectangle(1, 0, WIDTH, 1)),
        (PLANE, Rectangle(MAX, 0, 2, 1)),
        (PLANE, Rectangle(1, 1, MAX, MAX)),
    ],
)
def test_what_does_not_lie_in_the_blob_is_an_invalid_parameter(
    subject: Subject, plane: Plane, shown: Rectangle
) -> None:
    subject.guest.create_blob(WIDTH, HEIGHT)
    assert subject.set_scanout(plane, shown) == INVALID_PARAMETER
    assert subject.set_scanout() == OK


def test_the_last_byte_may_be_the_last_of_the_blob(subject: Subject) -> None:
    entries = subject.guest.create_blob(WIDTH, HEIGHT).entries
    assert subject.ask(commands.resource_create_blob(77, SIZE, entries)) == OK
    assert subject.set_scanout(number=77) == OK
    one_more = Plane(WIDTH, HEIGHT, PLANE.format, STRIDE, 1)
    assert subject.set_scanout(one_more, number=77) == INVALID_PARAMETER


def test_a_scanout_and_a_blob_must_exist(subject: Subject) -> None:
    assert subject.set_scanout() == INVALID_RESOURCE
    image = subject.guest.create_2d(WIDTH, HEIGHT)
    assert subject.set_scanout(number=image.resource_id) == INVALID_RESOURCE
    blob = subject.guest.create_blob(WIDTH, HEIGHT)
    number = blob.resource_id
    assert subject.set_scanout(number=number, scanout=16) == ResponseType.ERR_INVALID_SCANOUT_ID
    # Without a picture in it, SET_SCANOUT says too little.
    assert subject.ask(commands.set_scanout(0, number, WHOLE)) == INVALID_PARAMETER
    assert subject.set_scanout(number=0) == OK


@pytest.mark.parametrize(
    ("rectangle", "response"),
    [
        (Rectangle(0, 0, 0, 0), OK),
        (Rectangle(1000, 1000, 5, 5), OK),
        (Rectangle(0, 0, MAX, MAX), OK),
        (Rectangle(1, 0, MAX, 1), INVALID_PARAMETER),
        (Rectangle(0, MAX, 1, 1), INVALID_PARAMETER),
        (Rectangle(MAX, MAX, MAX, MAX), INVALID_PARAMETER),
    ],
)
def test_a_flush_may_go_beyond_what_is_shown(
    subject: Subject, rectangle: Rectangle, response: int
) -> None:
    blob = subject.guest.create_blob(WIDTH, HEIGHT)
    subject.guest.set_scanout(0, blob)
    assert subject.ask(commands.resource_flush(1, rectangle)) == response


def test_backing_has_no_less_than_the_blob(subject: Subject) -> None:
    blob = subject.guest.create_blob(WIDTH, HEIGHT)
    subject.guest.detach(blob)
    [(address, _)] = subject.guest._pages(subject.guest.create_2d(8, 8, backed=False), None, 1)
    short = commands.resource_attach_backing(1, [(address, SIZE - 1)])
    assert subject.ask(short) == INVALID_PARAMETER
    assert subject.ask(commands.resource_attach_backing(1, [(address, SIZE)])) in {
        OK,
        ResponseType.ERR_UNSPEC,
    }


def test_a_blob_is_not_mapped(subject: Subject) -> None:
    subject.guest.create_blob(WIDTH, HEIGHT)
    assert subject.ask(commands.resource_map_blob(1)) == ResponseType.ERR_UNSPEC
    assert subject.ask(commands.resource_map_blob(2)) == INVALID_RESOURCE


def test_blobs_cost_entries_and_no_images(subject: Subject) -> None:
    # The quota of images is 64 MiB; each of these says that it has more.
    address = subject.memory.allocate(PAGE, PAGE)
    entries = [(address, PAGE)] * 64
    for number in range(1, 50):
        assert subject.ask(commands.resource_create_blob(number, 64 * PAGE, entries)) == OK
    # 4096 entries are the quota.
    responses = [
        subject.ask(commands.resource_create_blob(number, 64 * PAGE, entries))
        for number in range(50, 65)
    ]
    assert responses[-1] == OK
    assert subject.ask(commands.resource_create_blob(65, PAGE, entries[:1])) == (
        ResponseType.ERR_OUT_OF_MEMORY
    )


def test_what_is_shown_of_one_counts_as_an_image(subject: Subject) -> None:
    # 16 MiB for each of four pictures are 64 MiB and a page.
    address = subject.memory.allocate(4 * MiB, PAGE)
    assert subject.ask(commands.resource_create_blob(1, 16 * MiB, [(address, 4 * MiB)] * 4)) == OK
    large = Plane(2048, 2048, PLANE.format, 8192)
    assert subject.set_scanout() == OK
    refused = subject.set_scanout(large, Rectangle(0, 0, 2048, 2048))
    assert refused == ResponseType.ERR_OUT_OF_MEMORY
    for _ in range(5):
        assert subject.set_scanout(large, Rectangle(0, 0, 1024, 2048)) == OK
        assert subject.set_scanout(large, Rectangle(9, 9, 2, 2)) == OK


def test_a_context_finds_no_blob(subject: Subject) -> None:
    if subject.mode == "2d":
        assert subject.ask(commands_3d.ctx_create(1)) == ResponseType.ERR_UNSPEC
        return
    blob = subject.guest.create_blob(WIDTH, HEIGHT)
    assert subject.ask(commands_3d.ctx_create(1)) == OK
    assert subject.ask(commands_3d.ctx_attach_resource(1, blob.resource_id)) == OK
    # What the context would do with it it cannot, and everything else goes on.
    assert subject.guest.flush(blob).ok
    assert subject.ask(commands_3d.ctx_detach_resource(1, blob.resource_id)) == OK
    subject.guest.unref(blob)


def test_without_the_feature_there_are_no_blobs(subject: Subject) -> None:
    subject.process.do(messages.SetFeatures(int(Feature.VERSION_1)))
    try:
        [(address, length)] = [(subject.memory.allocate(PAGE, PAGE), PAGE)]
        request = commands.resource_create_blob(1, PAGE, [(address, length)])
        assert subject.ask(request) == ResponseType.ERR_UNSPEC
        assert subject.set_scanout() == ResponseType.ERR_UNSPEC
    finally:
        subject.process.do(FEATURES)


def test_memory_that_goes_takes_the_backing_and_not_the_blob() -> None:
    subject = Subject("2d")
    region = subject.memory.add(1 << 32, MiB)
    subject.process.share(subject.memory)
    address = subject.memory.allocate(2 * PAGE, PAGE, region)
    assert subject.ask(commands.resource_create_blob(1, 2 * PAGE, [(address, 2 * PAGE)])) == OK
    assert subject.set_scanout() == OK
    assert subject.ask(commands.resource_flush(1, WHOLE)) == OK
    subject.memory.remove(region)
    subject.process.share(subject.memory)
    assert subject.ask(commands.resource_flush(1, WHOLE)) == ResponseType.ERR_UNSPEC
    subject.process.do(messages.Repaint())
    assert subject.set_scanout() == OK
    subject.guest.attach(Blob(1, Format.B8G8R8X8_UNORM, WIDTH, HEIGHT, [], STRIDE, 0))
    assert subject.ask(commands.resource_flush(1, WHOLE)) == OK
    subject.close()


def test_memory_that_is_truncated_ends_no_repaint() -> None:
    subject = Subject("2d")
    region = subject.memory.add(1 << 32, MiB)
    subject.process.share(subject.memory)
    address = subject.memory.allocate(2 * PAGE, PAGE, region)
    assert subject.ask(commands.resource_create_blob(1, 2 * PAGE, [(address, 2 * PAGE)])) == OK
    assert subject.set_scanout() == OK
    os.ftruncate(region.fd, 0)
    subject.process.do(messages.Repaint())
    # Who touches it next says so.
    subject.guest.submit(commands.resource_flush(1, WHOLE))
    subject.process.wait_for(messages.MemoryFault)
    subject.close()
