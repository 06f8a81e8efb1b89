# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Blobs of the host's memory, put on a ring by a driver and answered by a device process whose session may say anything."""

import errno
import mmap
import os
import resource
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from vgpud.link import messages

from ..driver import commands, commands_3d
from ..driver.commands import ResponseType
from ..driver.frontend import Feature
from ..driver.gpu import Guest
from ..driver.memory import PAGE, GuestMemory, MiB
from .process import LIMITS, DeviceProcess, wait_until

FEATURES = messages.SetFeatures(int(Feature.RESOURCE_BLOB | Feature.VERSION_1))

OK = ResponseType.OK_NODATA
UNSPEC = ResponseType.ERR_UNSPEC
OUT_OF_MEMORY = ResponseType.ERR_OUT_OF_MEMORY
INVALID_PARAMETER = ResponseType.ERR_INVALID_PARAMETER
INVALID_RESOURCE = ResponseType.ERR_INVALID_RESOURCE_ID
INVALID_CONTEXT = ResponseType.ERR_INVALID_CONTEXT_ID


class Subject:
    """``asked`` is what the session was asked; ``error`` what it answers, None: nothing."""

    def __init__(self, mode: str = "null", state_fd: int | None = None) -> None:
        self.asked: list[messages.MapBlob | messages.UnmapBlob] = []
        self.error: int | None = 0
        self.memory = GuestMemory(8 * MiB)
        self.guest = Guest(self.memory, event_idx=True)
        self.process = self.start(mode)

    def start(self, mode: str = "null") -> DeviceProcess:
        process = DeviceProcess(mode, answer=self.answer)
        process.do(FEATURES)
        process.share(self.memory)
        process.start_queue(self.guest)
        return process

    def answer(self, message: messages.Message) -> messages.Message | None:
        if not isinstance(message, messages.MapBlob | messages.UnmapBlob):
            return None
        self.asked.append(message)
        return None if self.error is None else messages.Answer(message.request, self.error, b"")

    def ask(self, request: bytes) -> int:
        return self.guest.ask(request).type

    def map(self, number: int = 1, offset: int = 0) -> int:
        return self.guest.ask(
            commands.resource_map_blob(number, offset), commands.MAP_INFO_SIZE
        ).type

    def told(self, *kinds: type[messages.Message]) -> list[messages.Message]:
        """All of these kinds that was said until now."""
        assert isinstance(self.process.request(messages.Ping()), messages.Pong)
        return [one for one in self.process.told if isinstance(one, kinds)]

    def close(self) -> None:
        self.process.close()
        self.guest.close()
        self.memory.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Subject]:
    subject = Subject()
    yield subject
    subject.close()


@pytest.fixture
def subject(running: Subject) -> Iterator[Subject]:
    assert running.ask(commands_3d.ctx_create(1)) == OK
    yield running
    base = running.process.stop_queue()
    running.process.do(messages.Reset())
    running.process.start_queue(running.guest, base)
    running.process.told.clear()
    running.asked.clear()
    running.error = 0


def test_the_life_of_a_blob(subject: Subject) -> None:
    assert subject.process.started.host_blobs
    assert subject.ask(commands.create_host_blob(1, 3 * PAGE)) == OK
    assert subject.ask(commands_3d.ctx_attach_resource(1, 1)) == OK
    response = subject.guest.ask(
        commands.resource_map_blob(1, 5 * PAGE, fence_id=9), commands.MAP_INFO_SIZE
    )
    assert (response.type, response.fence_id) == (ResponseType.OK_MAP_INFO, 9)
    assert struct.unpack("<II", response.data[:8]) == (commands.MAP_CACHE_CACHED, 0)
    [asked] = subject.asked
    assert asked[1:] == (1, 5 * PAGE, 3 * PAGE, 0)
    assert subject.ask(commands.resource_unmap_blob(1)) == OK
    uuid = subject.guest.do(commands.resource_assign_uuid(1), commands.RESOURCE_UUID_SIZE).data
    assert len(uuid) == 16
    assert subject.ask(commands_3d.ctx_detach_resource(1, 1)) == OK
    assert subject.ask(commands.resource_unref(1)) == OK
    assert subject.map() == INVALID_RESOURCE
    assert subject.told(messages.HostBlobCreated) == [messages.HostBlobCreated(1, 3 * PAGE)]


def test_what_is_mapped_is_one_memory_each_time(subject: Subject) -> None:
    """The session gets a descriptor of its own, of memory that nobody can make shorter."""
    assert subject.ask(commands.create_host_blob(1, PAGE + 1)) == OK
    contents = []
    for turn in range(2):
        assert subject.map() == ResponseType.OK_MAP_INFO
        assert isinstance(subject.asked[-1], messages.MapBlob)
        assert subject.asked[-1].length == 2 * PAGE
        assert wait_until(lambda: 1 in subject.process.images)
        with mmap.mmap(subject.process.images[1], PAGE + 1) as mapped:
            contents.append(mapped[0])
            mapped[0] = turn + 1
        with pytest.raises(PermissionError):
            os.ftruncate(subject.process.images[1], 0)
        assert subject.ask(commands.resource_unmap_blob(1)) == OK
    assert contents == [0, 1]


@pytest.mark.parametrize(
    ("changed", "response"),
    [
        ({"size": 0}, INVALID_PARAMETER),
        ({"ctx_id": 0}, INVALID_CONTEXT),
        ({"ctx_id": 2}, INVALID_CONTEXT),
        ({"blob_flags": 8}, INVALID_PARAMETER),
        ({"blob_mem": 0}, INVALID_PARAMETER),
        ({"blob_mem": 4}, INVALID_PARAMETER),
        ({"resource_id": 0}, INVALID_RESOURCE),
        ({"size": LIMITS.blob_bytes + 1}, OUT_OF_MEMORY),
        ({"size": (1 << 64) - 1}, OUT_OF_MEMORY),
        ({"blob_mem": commands.BLOB_MEM_HOST3D_GUEST}, INVALID_PARAMETER),
        ({"entries": [(0x10_0000, PAGE)]}, INVALID_PARAMETER),
        (
            {"blob_mem": commands.BLOB_MEM_HOST3D_GUEST, "entries": [(0x10_0000, PAGE - 1)]},
            INVALID_PARAMETER,
        ),
        ({"blob_mem": commands.BLOB_MEM_HOST3D_GUEST, "entries": [(0, PAGE)]}, UNSPEC),
    ],
)
def test_a_blob_that_cannot_be_is_none(
    subject: Subject, changed: dict[str, int], response: int
) -> None:
    fields = {
        "resource_id": 1,
        "size": PAGE,
        "entries": [],
        "blob_mem": commands.BLOB_MEM_HOST3D,
        "blob_flags": commands.BLOB_FLAG_MAPPABLE,
        "ctx_id": 1,
    }
    assert subject.ask(commands.resource_create_blob(**fields | changed)) == response  # type: ignore[arg-type]
    assert subject.told(messages.HostBlobCreated) == []
    # Nothing of it is left.
    assert subject.ask(commands.create_host_blob(1, LIMITS.blob_bytes)) == OK


def test_a_number_is_used_once(subject: Subject) -> None:
    assert subject.ask(commands.create_host_blob(1, PAGE)) == OK
    assert subject.ask(commands.create_host_blob(1, PAGE)) == INVALID_RESOURCE


def test_the_guests_part_of_a_blob(subject: Subject) -> None:
    address = subject.memory.allocate(2 * PAGE, PAGE)
    request = commands.resource_create_blob(
        1,
        2 * PAGE,
        [(address + PAGE, PAGE), (address, PAGE)],
        blob_mem=commands.BLOB_MEM_HOST3D_GUEST,
        blob_flags=0,
        ctx_id=1,
    )
    assert subject.ask(request) == OK
    box = commands_3d.Box(0, 0, 0, 1, 1, 1)
    to_host = commands_3d.transfer_3d(commands_3d.Command3D.TRANSFER_TO_HOST_3D, 1, box)
    assert subject.ask(to_host) == OK
    # It was not to be mapped.
    assert subject.map() == INVALID_PARAMETER
    assert subject.ask(commands.resource_detach_backing(1)) == OK
    assert subject.ask(to_host) == UNSPEC
    short = commands.resource_attach_backing(1, [(address, PAGE)])
    assert subject.ask(short) == INVALID_PARAMETER
    assert subject.ask(commands.resource_attach_backing(1, [(address, 2 * PAGE)])) == OK
    assert subject.ask(to_host) == OK
    told = subject.told(messages.HostBlobCreated, messages.BackingAttached)
    assert [type(one) for one in told] == [
        messages.HostBlobCreated,
        messages.BackingAttached,
        messages.BackingAttached,
    ]


@pytest.mark.parametrize(
    ("error", "response"),
    [
        (errno.EINVAL, INVALID_PARAMETER),
        (errno.ENOMEM, OUT_OF_MEMORY),
        (errno.EOPNOTSUPP, UNSPEC),
        (errno.EIO, UNSPEC),
        (1 << 40, UNSPEC),
    ],
)
def test_what_the_session_refuses(subject: Subject, error: int, response: int) -> None:
    assert subject.ask(commands.create_host_blob(1, PAGE)) == OK
    subject.error = error
    assert subject.map() == response
    assert subject.ask(commands.resource_unmap_blob(1)) == response


def test_other_commands_go_on_while_the_vmm_maps(subject: Subject) -> None:
    subject.error = None
    for number in (1, 2):
        assert subject.ask(commands.create_host_blob(number, PAGE)) == OK
    pending = [
        subject.guest.submit(
            commands.resource_map_blob(number, number * PAGE), commands.MAP_INFO_SIZE
        )
        for number in (1, 2)
    ]
    assert subject.ask(commands.resource_unref(1)) == OK
    assert wait_until(lambda: len(subject.asked) == 2)
    # In the other order.
    for question, chain in reversed(list(zip(subject.asked, pending, strict=True))):
        subject.process.link.send(messages.Answer(question.request, 0, b""))
        assert subject.guest.wait(chain).type == ResponseType.OK_MAP_INFO
    # One more answer to the same is nobody's.
    subject.process.link.send(messages.Answer(subject.asked[0].request, 0, b""))
    assert subject.ask(commands.resource_unref(2)) == OK


def test_a_queue_that_is_stopped_waits_for_no_answer(subject: Subject) -> None:
    subject.error = None
    assert subject.ask(commands.create_host_blob(1, PAGE)) == OK
    chain = subject.guest.submit(commands.resource_map_blob(1), commands.MAP_INFO_SIZE)
    assert wait_until(lambda: len(subject.asked) == 1)
    base = subject.process.stop_queue()
    assert subject.guest.wait(chain).type == UNSPEC
    subject.process.link.send(messages.Answer(subject.asked[0].request, 0, b""))
    subject.process.start_queue(subject.guest, base)
    subject.error = 0
    assert subject.map() == ResponseType.OK_MAP_INFO


def test_a_blob_that_was_not_to_be_mapped_is_not(subject: Subject) -> None:
    request = commands.resource_create_blob(
        1, PAGE, [], blob_mem=commands.BLOB_MEM_HOST3D, blob_flags=2, ctx_id=1
    )
    assert subject.ask(request) == OK
    assert subject.map() == INVALID_PARAMETER
    assert subject.asked == []


def test_only_blobs_of_the_hosts_are_mapped(subject: Subject) -> None:
    blob = subject.guest.create_blob(8, 8)
    image = subject.guest.create_2d(8, 8)
    expected = {blob.resource_id: UNSPEC, image.resource_id: INVALID_RESOURCE, 77: INVALID_RESOURCE}
    for number, response in expected.items():
        assert subject.map(number) == response
        assert subject.ask(commands.resource_unmap_blob(number)) == response
    assert subject.asked == []


def test_a_blob_of_the_hosts_is_not_shown_by_numbers_alone(subject: Subject) -> None:
    assert subject.ask(commands.create_host_blob(1, 64 * PAGE)) == OK
    area = commands.Rectangle(0, 0, 8, 8)
    assert subject.ask(commands.set_scanout(0, 1, area)) == INVALID_PARAMETER
    assert subject.ask(commands.resource_flush(1, area)) == OK
    assert subject.ask(commands.transfer_to_host_2d(1, area)) == UNSPEC


AREA = commands.Rectangle(0, 0, 64, 48)
PLANE = commands.Plane(64, 48, 2, 256)


def test_the_session_is_told_of_the_picture_of_what_is_shown(subject: Subject) -> None:
    """And of its end, however that comes."""
    assert subject.ask(commands.create_host_blob(1, 16 * PAGE)) == OK
    show = commands.set_scanout_blob(1, 1, AREA, PLANE)
    guest_blob = subject.guest.create_blob(64, 48)
    ends = (
        commands.set_scanout(1, 0, commands.Rectangle(0, 0, 0, 0)),
        commands.set_scanout_blob(1, guest_blob.resource_id, AREA, guest_blob.plane),
        commands.resource_unref(1),
    )
    for end in ends:
        # What is shown already is nothing new.
        for _ in range(2):
            assert subject.ask(show) == OK
        assert subject.ask(end) == OK
        assert subject.told(messages.PictureMade, messages.PictureGone) == [
            messages.PictureMade(1, 64, 48),
            messages.PictureGone(1),
        ]
        subject.process.told.clear()


def test_a_picture_of_another_size_is_another(subject: Subject) -> None:
    assert subject.ask(commands.create_host_blob(1, 16 * PAGE)) == OK
    for width in (64, 32):
        part = commands.Rectangle(0, 0, width, 48)
        assert subject.ask(commands.set_scanout_blob(0, 1, part, PLANE)) == OK
    assert subject.told(messages.PictureMade, messages.PictureGone) == [
        messages.PictureMade(0, 64, 48),
        messages.PictureMade(0, 32, 48),
    ]


@pytest.mark.parametrize(
    "plane",
    [
        commands.Plane(64, 48, 9, 256),
        commands.Plane(64, 48, 2, 255),
        commands.Plane(64, 48, 2, 256, 16 * PAGE - 48 * 256 + 1),
        commands.Plane(64, 48, 2, (1 << 32) - 1),
        commands.Plane((1 << 32) - 1, 48, 2, (1 << 32) - 1),
        commands.Plane(64, 48, 2, 256, (1 << 32) - 1),
    ],
)
def test_what_is_shown_lies_in_the_blob(subject: Subject, plane: commands.Plane) -> None:
    assert subject.ask(commands.create_host_blob(1, 16 * PAGE)) == OK
    request = commands.set_scanout_blob(0, 1, AREA, plane)
    assert subject.ask(request) == INVALID_PARAMETER
    assert subject.told(messages.PictureMade) == []


def test_a_reset_is_the_end_of_pictures_without_a_word(subject: Subject) -> None:
    assert subject.ask(commands.create_host_blob(1, 16 * PAGE)) == OK
    assert subject.ask(commands.set_scanout_blob(0, 1, AREA, PLANE)) == OK
    base = subject.process.stop_queue()
    subject.process.do(messages.Reset())
    subject.process.start_queue(subject.guest, base)
    assert subject.ask(commands_3d.ctx_create(1)) == OK
    subject.process.told.clear()
    assert subject.ask(commands.create_host_blob(1, 16 * PAGE)) == OK
    assert subject.ask(commands.set_scanout_blob(0, 1, AREA, PLANE)) == OK
    assert subject.told(messages.PictureMade, messages.PictureGone) == [
        messages.PictureMade(0, 64, 48)
    ]


def test_a_picture_that_cannot_be_taken_over_is_said_to_be_gone(subject: Subject) -> None:
    image = os.memfd_create("no image")
    reply = subject.process.request(messages.AdoptPicture(0, 64, 48), (image,))
    os.close(image)
    assert isinstance(reply, messages.Refused)
    assert subject.told(messages.PictureGone) == [messages.PictureGone(0)]


def test_blobs_outlive_their_context(subject: Subject) -> None:
    assert subject.ask(commands.create_host_blob(1, PAGE)) == OK
    assert subject.ask(commands_3d.ctx_destroy(1)) == OK
    assert subject.map() == ResponseType.OK_MAP_INFO
    assert subject.ask(commands.resource_unref(1)) == OK


def test_the_quota_of_bytes_is_given_back(subject: Subject) -> None:
    half = LIMITS.blob_bytes // 2
    for _ in range(3):
        assert subject.ask(commands.create_host_blob(1, half)) == OK
        assert subject.ask(commands.create_host_blob(2, half)) == OK
        assert subject.ask(commands.create_host_blob(3, 1)) == OUT_OF_MEMORY
        assert subject.ask(commands.resource_unref(1)) == OK
        assert subject.ask(commands.create_host_blob(3, 1)) == OK
        for number in (2, 3):
            assert subject.ask(commands.resource_unref(number)) == OK


def test_each_holds_a_descriptor_which_is_given_back(subject: Subject) -> None:
    """An administrator may lower the limit under a running process: half of a small one is images' and blobs'."""
    descriptors = Path(f"/proc/{subject.process.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    pid = subject.process.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        responses = [subject.ask(commands.create_host_blob(n, PAGE)) for n in range(1, 40)]
        assert responses == [OK] * 32 + [OUT_OF_MEMORY] * 7
        assert len(list(descriptors.iterdir())) == before + 32
        for number in range(1, 33):
            assert subject.ask(commands.resource_unref(number)) == OK
        assert len(list(descriptors.iterdir())) == before
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def test_a_reset_takes_all_of_them(subject: Subject) -> None:
    descriptors = Path(f"/proc/{subject.process.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    for number in range(1, 20):
        assert subject.ask(commands.create_host_blob(number, PAGE)) == OK
    base = subject.process.stop_queue()
    subject.process.do(messages.Reset())
    assert len(list(descriptors.iterdir())) == before
    subject.process.start_queue(subject.guest, base)
    assert subject.ask(commands_3d.ctx_create(1)) == OK
    assert subject.ask(commands.create_host_blob(1, LIMITS.blob_bytes)) == OK


def test_what_is_lost_can_be_got_rid_of(subject: Subject) -> None:
    """After a device process died its successor knows that there was one, and of nothing in it."""
    subject.process.do(messages.AdoptHostBlob(1, 2 * PAGE))
    subject.process.do(messages.AdoptHostBlob(2, LIMITS.blob_bytes * 2))
    again = subject.process.request(messages.AdoptHostBlob(1, PAGE))
    assert isinstance(again, messages.Refused)
    address = subject.memory.allocate(2 * PAGE, PAGE)
    entries = struct.pack("<QII", address, 2 * PAGE, 0)
    subject.process.do(messages.AdoptBacking(1, entries))
    subject.process.do(messages.AdoptUuid(1, bytes(range(16))))
    uuid = subject.guest.do(commands.resource_assign_uuid(1), commands.RESOURCE_UUID_SIZE).data
    assert uuid == bytes(range(16))
    assert subject.map() == UNSPEC
    assert subject.asked == []
    area, plane = commands.Rectangle(0, 0, 8, 8), commands.Plane(8, 8, 2, 32)
    assert subject.ask(commands.set_scanout_blob(0, 1, area, plane)) == UNSPEC
    assert subject.ask(commands.resource_flush(1, area)) == UNSPEC
    assert subject.ask(commands_3d.ctx_attach_resource(1, 1)) == OK
    assert subject.ask(commands_3d.submit_3d(1, commands_3d.NOP)) == OK
    box = commands_3d.Box(0, 0, 0, 1, 1, 1)
    to_host = commands_3d.transfer_3d(commands_3d.Command3D.TRANSFER_TO_HOST_3D, 1, box)
    assert subject.ask(to_host) == UNSPEC
    assert subject.ask(commands_3d.ctx_detach_resource(1, 1)) == OK
    assert subject.ask(commands.resource_detach_backing(1)) == OK
    assert subject.ask(commands.resource_unmap_blob(1)) == OK
    assert [type(one) for one in subject.asked] == [messages.UnmapBlob]
    assert subject.ask(commands.resource_unref(1)) == OK
    # It takes nothing of the quotas.
    assert subject.ask(commands.create_host_blob(3, LIMITS.blob_bytes)) == OK


def test_without_a_library_there_are_none() -> None:
    subject = Subject("2d")
    assert not subject.process.started.host_blobs
    assert subject.ask(commands.create_host_blob(1, PAGE)) == INVALID_PARAMETER
    # The device process before may have had another mode's; nobody else could have said so.
    subject.process.do(messages.AdoptHostBlob(1, PAGE))
    assert subject.map() == UNSPEC
    assert subject.ask(commands.resource_unref(1)) == OK
    subject.close()
