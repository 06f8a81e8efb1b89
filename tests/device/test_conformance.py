# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What any renderer has to do, put on a ring by a driver and answered by a device process.

Where VIRTIO 1.2 (5.7.6.8) leaves the error open, it is the one that QEMU's own device answers.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from vgpud.link import messages

from ..driver import commands, commands_3d, rutabaga
from ..driver.commands import Format, Rectangle, ResponseType
from ..driver.gpu import Guest
from ..driver.memory import PAGE, GuestMemory, MiB
from .process import LIMITS, DeviceProcess, display, opengl_unavailable

SIDE = 32
WHOLE = Rectangle(0, 0, SIDE, SIDE)
BACKING = SIDE * SIDE * 4
FENCE = 0x1234_5678_9ABC_DEF0

OK = ResponseType.OK_NODATA


class Rings(NamedTuple):
    packed: bool
    event_idx: bool
    indirect: bool


class Subject(NamedTuple):
    guest: Guest
    process: DeviceProcess
    mode: str

    def ask(self, request: bytes, length: int = commands.HEADER_SIZE) -> int:
        return self.guest.ask(request, length).type


# One process for each renderer and kind of ring; each test has fresh resource numbers after a reset.
@pytest.fixture(
    scope="module",
    params=[
        ("2d", Rings(False, False, False)),
        ("2d", Rings(True, True, True)),
        ("null", Rings(False, True, True)),
        ("virglrenderer", Rings(False, True, True)),
        ("gfxstream", Rings(False, True, True)),
    ],
    ids=["2d, split", "2d, packed", "null", "virglrenderer", "cross-domain"],
)
def running(request: pytest.FixtureRequest) -> Iterator[Subject]:
    mode, rings = request.param
    if mode == "virglrenderer" and (reason := opengl_unavailable()):
        pytest.skip(reason)
    memory = GuestMemory(8 * MiB, 8 * MiB)
    guest = Guest(memory, **rings._asdict())
    options: dict[str, Any] = {}
    if mode == "gfxstream":
        if rutabaga.folder() is None:
            pytest.skip(rutabaga.NOT_BUILT)
        options = {"capsets": ("cross-domain",), "environment": rutabaga.environment()}
    with DeviceProcess(mode, answer=display(1024, 768), **options) as process:
        process.share(memory)
        process.start_queue(guest)
        yield Subject(guest, process, mode)
    guest.close()
    memory.close()


@pytest.fixture
def subject(running: Subject) -> Iterator[Subject]:
    yield running
    # As at a machine's reset: the queue is stopped first, and goes on where it was.
    base = running.process.stop_queue()
    running.process.do(messages.Reset())
    running.process.start_queue(running.guest, base)


def _create(subject: Subject, resource_id: int = 1, format: int = Format.B8G8R8X8_UNORM) -> int:
    return subject.ask(commands.resource_create_2d(resource_id, format, SIDE, SIDE))


def _attach(subject: Subject, resource_id: int = 1, size: int = BACKING) -> int:
    address = subject.guest.memory.allocate(size, PAGE)
    return subject.ask(commands.resource_attach_backing(resource_id, [(address, size)]))


def _transfer(subject: Subject, rectangle: Rectangle = WHOLE, offset: int = 0, id: int = 1) -> int:
    return subject.ask(commands.transfer_to_host_2d(id, rectangle, offset))


# --- resources


@pytest.mark.parametrize("format", list(Format))
def test_every_format_can_be_created_drawn_and_shown(subject: Subject, format: Format) -> None:
    assert _create(subject, format=format) == OK
    assert _attach(subject) == OK
    assert _transfer(subject) == OK
    assert subject.ask(commands.set_scanout(0, 1, WHOLE)) == OK
    assert subject.ask(commands.resource_flush(1, WHOLE)) == OK
    assert subject.ask(commands.resource_detach_backing(1)) == OK
    assert subject.ask(commands.resource_unref(1)) == OK


@pytest.mark.parametrize("format", [0, 5, 66, 133, 0xFFFFFFFF])
def test_a_format_that_does_not_exist_is_an_invalid_parameter(
    subject: Subject, format: int
) -> None:
    assert _create(subject, format=format) == ResponseType.ERR_INVALID_PARAMETER
    assert _create(subject) == OK


@pytest.mark.parametrize(("width", "height"), [(0, 1), (1, 0), (0, 0)])
def test_an_image_without_pixels_is_an_invalid_parameter(
    subject: Subject, width: int, height: int
) -> None:
    request = commands.resource_create_2d(1, Format.B8G8R8X8_UNORM, width, height)
    assert subject.ask(request) == ResponseType.ERR_INVALID_PARAMETER


@pytest.mark.parametrize(
    ("width", "height"), [(1 << 16, 1 << 16), (0xFFFFFFFF, 0xFFFFFFFF), (1 << 31, 2), (2, 1 << 31)]
)
def test_an_image_of_absurd_size_is_refused(subject: Subject, width: int, height: int) -> None:
    request = commands.resource_create_2d(1, Format.B8G8R8X8_UNORM, width, height)
    assert subject.ask(request) in {
        ResponseType.ERR_OUT_OF_MEMORY,
        ResponseType.ERR_INVALID_PARAMETER,
    }
    assert _create(subject) == OK


def test_the_quota_of_image_memory_is_given_back(subject: Subject) -> None:
    # Each of 4 MiB at least; the quota is 64 MiB.
    made = []
    for resource_id in range(1, 32):
        request = commands.resource_create_2d(resource_id, Format.B8G8R8X8_UNORM, 1024, 1024)
        response = subject.ask(request)
        if response != OK:
            break
        made.append(resource_id)
    assert response == ResponseType.ERR_OUT_OF_MEMORY
    assert 1 <= len(made) <= 16
    assert subject.ask(commands.resource_unref(made[0])) == OK
    assert subject.ask(request) == OK


def test_the_quota_of_resources_is_given_back(subject: Subject) -> None:
    numbers = range(1, LIMITS.resources + 1)
    assert {_create(subject, number) for number in numbers} == {OK}
    assert _create(subject, 1000) == ResponseType.ERR_OUT_OF_MEMORY
    assert subject.ask(commands.resource_unref(7)) == OK
    assert _create(subject, 1000) == OK


def test_a_resource_number_is_not_zero_and_used_once(subject: Subject) -> None:
    assert _create(subject, 0) == ResponseType.ERR_INVALID_RESOURCE_ID
    assert _create(subject, 0xFFFFFFFF) == OK
    assert _create(subject, 0xFFFFFFFF) == ResponseType.ERR_INVALID_RESOURCE_ID


@pytest.mark.parametrize(
    "request_",
    [
        commands.resource_unref(9),
        commands.resource_attach_backing(9, []),
        commands.resource_detach_backing(9),
        commands.transfer_to_host_2d(9, WHOLE),
        commands.resource_flush(9, WHOLE),
        commands.set_scanout(0, 9, WHOLE),
        commands.resource_assign_uuid(9),
        commands.resource_unref(0),
        commands.transfer_to_host_2d(0, WHOLE),
        commands.resource_flush(0, WHOLE),
    ],
)
def test_a_resource_that_does_not_exist_is_invalid(subject: Subject, request_: bytes) -> None:
    assert subject.ask(request_) == ResponseType.ERR_INVALID_RESOURCE_ID


def test_a_resource_that_is_gone_is_gone(subject: Subject) -> None:
    _create(subject)
    _attach(subject)
    assert subject.ask(commands.set_scanout(1, 1, WHOLE)) == OK
    assert subject.ask(commands.resource_unref(1)) == OK
    assert subject.ask(commands.resource_unref(1)) == ResponseType.ERR_INVALID_RESOURCE_ID
    assert _transfer(subject) == ResponseType.ERR_INVALID_RESOURCE_ID


def test_a_uuid_stays_with_its_resource(subject: Subject) -> None:
    _create(subject, 1)
    _create(subject, 2)
    uuids = [
        subject.guest.do(commands.resource_assign_uuid(number), commands.RESOURCE_UUID_SIZE).data
        for number in (1, 2, 1)
    ]
    assert uuids[0] == uuids[2] != uuids[1]
    assert all(len(uuid) == 16 for uuid in uuids)


# --- backing


def test_a_resource_has_one_backing(subject: Subject) -> None:
    _create(subject)
    assert _attach(subject) == OK
    assert _attach(subject) == ResponseType.ERR_UNSPEC
    assert subject.ask(commands.resource_detach_backing(1)) == OK
    assert _attach(subject) == OK


@pytest.mark.parametrize(
    "entry",
    [
        (0, PAGE),
        (0xFFFF_FFFF_FFFF_F000, PAGE),
        (0xFFFF_FFFF_FFFF_F000, 0xFFFF_FFFF),
        (0x10_0000 + 8 * MiB - PAGE, 2 * PAGE),
    ],
)
def test_backing_outside_guest_memory_is_refused(subject: Subject, entry: tuple[int, int]) -> None:
    _create(subject)
    good = (subject.guest.memory.allocate(PAGE, PAGE), PAGE)
    request = commands.resource_attach_backing(1, [good, entry])
    assert subject.ask(request) == ResponseType.ERR_UNSPEC
    # Nothing of it stayed.
    assert _attach(subject) == OK


def test_more_entries_than_announced_bytes_are_refused(subject: Subject) -> None:
    _create(subject)
    request = bytearray(commands.resource_attach_backing(1, [(0x10_0000, PAGE)]))
    request[28:32] = (2).to_bytes(4, "little")
    assert subject.ask(bytes(request)) == ResponseType.ERR_UNSPEC
    request[28:32] = b"\xff" * 4
    assert subject.ask(bytes(request)) == ResponseType.ERR_OUT_OF_MEMORY


def test_a_transfer_needs_backing(subject: Subject) -> None:
    _create(subject)
    assert _transfer(subject) == ResponseType.ERR_UNSPEC
    _attach(subject)
    assert _transfer(subject) == OK
    subject.ask(commands.resource_detach_backing(1))
    assert _transfer(subject) == ResponseType.ERR_UNSPEC


# --- rectangles


OUTSIDE = [
    Rectangle(1, 0, SIDE, SIDE),
    Rectangle(0, 1, SIDE, SIDE),
    Rectangle(0, 0, SIDE + 1, 1),
    Rectangle(0, 0, 1, SIDE + 1),
    Rectangle(SIDE, SIDE, 1, 1),
    Rectangle(0xFFFFFFFF, 0, 2, 1),
    Rectangle(0, 0xFFFFFFFF, 1, 2),
    Rectangle(1, 0, 0xFFFFFFFF, 1),
    Rectangle(0, 1, 1, 0xFFFFFFFF),
]


@pytest.mark.parametrize("rectangle", OUTSIDE)
def test_a_rectangle_outside_the_resource_is_an_invalid_parameter(
    subject: Subject, rectangle: Rectangle
) -> None:
    _create(subject)
    _attach(subject)
    assert _transfer(subject, rectangle) == ResponseType.ERR_INVALID_PARAMETER
    flush = commands.resource_flush(1, rectangle)
    assert subject.ask(flush) == ResponseType.ERR_INVALID_PARAMETER
    scanout = commands.set_scanout(0, 1, rectangle)
    assert subject.ask(scanout) == ResponseType.ERR_INVALID_PARAMETER


@pytest.mark.parametrize("rectangle", [Rectangle(0, 0, 0, 4), Rectangle(0, 0, 4, 0)])
def test_a_scanout_without_pixels_is_an_invalid_parameter(
    subject: Subject, rectangle: Rectangle
) -> None:
    _create(subject)
    request = commands.set_scanout(0, 1, rectangle)
    assert subject.ask(request) == ResponseType.ERR_INVALID_PARAMETER


@pytest.mark.parametrize("scanout_id", [2, 15, 16, 0xFFFFFFFF])
def test_a_scanout_that_does_not_exist_is_invalid(subject: Subject, scanout_id: int) -> None:
    _create(subject)
    for resource_id in (0, 1):
        request = commands.set_scanout(scanout_id, resource_id, WHOLE)
        assert subject.ask(request) == ResponseType.ERR_INVALID_SCANOUT_ID


def test_a_scanout_can_be_disabled_twice(subject: Subject) -> None:
    for _ in range(2):
        assert subject.ask(commands.set_scanout(0, 0, Rectangle(0, 0, 0, 0))) == OK


# --- the display


def test_the_display_is_asked(subject: Subject) -> None:
    response = subject.guest.display_info()
    assert response.type == ResponseType.OK_DISPLAY_INFO
    assert response.length == commands.DISPLAY_INFO_SIZE
    assert response.data[:20] == b"".join(
        number.to_bytes(4, "little") for number in (0, 0, 1024, 768, 1)
    )
    assert not any(response.data[24:])


def test_the_edid_is_that_of_its_scanout(subject: Subject) -> None:
    for scanout_id in (0, 1):
        response = subject.guest.edid(scanout_id)
        assert response.type == ResponseType.OK_EDID
        assert response.length == commands.EDID_SIZE
        assert response.data[8:264] == bytes([scanout_id + 1]) * 256
    assert subject.guest.edid(2).type == ResponseType.ERR_INVALID_PARAMETER


def test_a_capset_that_there_is_not(subject: Subject) -> None:
    length = commands.CAPSET_INFO_SIZE
    info = subject.ask(commands.get_capset_info(7), length)
    assert info == ResponseType.ERR_INVALID_PARAMETER
    assert subject.ask(commands.get_capset(77, 1), 512) == ResponseType.ERR_INVALID_PARAMETER


# --- what all commands have in common


FENCED = [
    commands.get_display_info(FENCE),
    commands.get_edid(0, FENCE),
    commands.resource_create_2d(1, Format.B8G8R8X8_UNORM, 4, 4, FENCE),
    commands.resource_flush(5, WHOLE, FENCE),
    commands.transfer_to_host_2d(5, WHOLE, 0, FENCE),
    commands.header(0x0666, fence_id=FENCE, ctx_id=77),
]


@pytest.mark.parametrize("request_", FENCED)
def test_every_command_gives_its_fence_back(subject: Subject, request_: bytes) -> None:
    response = subject.guest.ask(request_, commands.EDID_SIZE)
    assert response.flags & commands.FLAG_FENCE
    assert response.fence_id == FENCE
    assert response.ctx_id == int.from_bytes(request_[16:20], "little")


@pytest.mark.parametrize("type", [0, 0xFF, 0x010E, 0x02FF, 0x0300, 0x1100, 0xFFFFFFFF])
def test_an_unknown_command_is_an_unspecified_error(subject: Subject, type: int) -> None:
    assert subject.ask(commands.header(type)) == ResponseType.ERR_UNSPEC


@pytest.mark.parametrize("length", [1, 4, 23, 24, 39])
def test_a_command_that_is_cut_short_is_answered_with_an_error(
    subject: Subject, length: int
) -> None:
    request = commands.resource_create_2d(1, Format.B8G8R8X8_UNORM, 4, 4)[:length]
    assert subject.ask(request) >= ResponseType.ERR_UNSPEC
    assert _create(subject) == OK


THREE_D = [
    commands_3d.ctx_create(1),
    commands_3d.ctx_destroy(1),
    commands_3d.ctx_attach_resource(1, 1),
    commands_3d.resource_create_3d(1, commands_3d.Resource3D()),
    commands_3d.submit_3d(1, commands_3d.NOP),
    commands_3d.transfer_3d(
        commands_3d.Command3D.TRANSFER_TO_HOST_3D, 1, commands_3d.Box(0, 0, 0, 1, 1, 1)
    ),
]


def test_3d_commands_are_refused_by_2d_and_accepted_by_the_others(subject: Subject) -> None:
    expected = [ResponseType.ERR_UNSPEC if subject.mode == "2d" else OK] * len(THREE_D)
    if subject.mode != "2d":
        # The resource has no backing that could be transferred.
        expected[4] = ResponseType.ERR_UNSPEC
    if subject.mode == "gfxstream":
        # Cross-domain alone has no textures, and streams of its own.
        expected[1:5] = [
            ResponseType.ERR_INVALID_PARAMETER,
            ResponseType.ERR_INVALID_RESOURCE_ID,
            ResponseType.ERR_UNSPEC,
            ResponseType.ERR_INVALID_RESOURCE_ID,
        ]
    order = [0, 3, 2, 4, 5, 1]
    assert [subject.ask(THREE_D[index]) for index in order] == expected


def test_many_commands_in_flight_are_all_answered(subject: Subject) -> None:
    _create(subject)
    _attach(subject)
    requests = [
        commands.transfer_to_host_2d(1, Rectangle(0, 0, 1, 1)),
        commands.get_display_info(),
        commands.resource_flush(1, WHOLE),
        commands.resource_assign_uuid(1),
    ]
    for _ in range(20):
        pending = [
            subject.guest.submit(request, commands.DISPLAY_INFO_SIZE) for request in requests * 3
        ]
        assert all(subject.guest.wait(one).ok for one in pending)
