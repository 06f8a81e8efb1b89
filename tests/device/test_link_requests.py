# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the daemon asks of the device, and what it gets back."""

import errno
import os
from collections.abc import Iterator

import pytest

from vgpud.device.link_requests import handle
from vgpud.link import messages
from vgpud.link.fields import LinkError
from vgpud.wire import virtio_gpu as wire
from vgpud.wire.layout import pack

from .bench import Bench

REGION = messages.MemoryRegion(0x1000, 0x2000, 0x7F0000000000, 0x4000)
CONFIG = messages.QueueConfig(64, 1 << 32, 0x1000, 0x2000, 0x3000)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def files() -> Iterator[list[int]]:
    made = [os.memfd_create(f"file {number}") for number in range(3)]
    yield made
    for file in made:
        os.close(file)


def _inode(file: int) -> int:
    return os.fstat(file).st_ino


def test_a_memory_table_replaces_the_one_before(bench: Bench, files: list[int]) -> None:
    other = REGION._replace(guest_address=0x10000)
    message = messages.SetMemory((REGION, other), serial=5)
    assert bench.request(message, (files[0], files[1])) == messages.Done(5)
    assert bench.plane.calls == [
        ("clear",),
        ("add", REGION, _inode(files[0])),
        ("add", other, _inode(files[1])),
        ("use",),
    ]


def test_memory_comes_and_goes_by_region(bench: Bench, files: list[int]) -> None:
    assert bench.request(messages.AddMemory(REGION, 1), (files[0],)) == messages.Done(1)
    assert bench.request(messages.RemoveMemory(REGION, 2)) == messages.Done(2)
    assert bench.plane.calls == [
        ("add", REGION, _inode(files[0])),
        ("use",),
        ("remove", REGION),
        ("use",),
    ]


def test_lost_backings_are_logged(bench: Bench) -> None:
    bench.plane.lost = 3
    handle(bench.device, messages.RemoveMemory(REGION, 2), [])
    log, done = bench.told()
    assert isinstance(log, messages.Log)
    assert log.text.startswith("3 backings")
    assert done == messages.Done(2)


def test_what_cannot_be_done_is_refused_with_its_errno(bench: Bench) -> None:
    bench.plane.fails_with = errno.EEXIST
    reply = bench.request(messages.RemoveMemory(REGION, 9))
    assert reply == messages.Refused(errno.EEXIST, 9)


@pytest.mark.parametrize("present", [(1, 1, 1), (0, 1, 0), (1, 0, 1), (0, 0, 0)])
def test_the_queue_starts_with_the_descriptors_that_are_there(
    bench: Bench, files: list[int], present: tuple[int, int, int]
) -> None:
    kick, call, err = map(bool, present)
    message = messages.StartQueue(CONFIG, 5, False, kick, call, err, serial=3)
    given = [file for file, there in zip(files, present, strict=True) if there]
    assert bench.request(message, tuple(given)) == messages.Done(3)
    expected = [_inode(file) if there else -1 for file, there in zip(files, present, strict=True)]
    assert bench.plane.calls == [("queue_start", CONFIG, 5, False, *expected)]


def test_stopping_the_queue_returns_its_base(bench: Bench) -> None:
    assert bench.request(messages.StopQueue(4)) == messages.QueueStopped(77, 4)


@pytest.mark.parametrize("features", [0, 1 << 26, 1 << 25, 0xFFFFFFFFFFFFFFFF])
def test_only_the_logging_bit_of_the_features_matters(bench: Bench, features: int) -> None:
    bench.request(messages.SetFeatures(features, serial=1))
    assert bench.plane.calls == [("memory_set_logging", bool(features >> 26 & 1))]


def test_the_log_comes_and_goes(bench: Bench, files: list[int]) -> None:
    bench.request(messages.SetLog(4096, 64, 1), (files[0],))
    bench.request(messages.SetLog(0, 0, 2))
    assert bench.plane.calls == [
        ("set_log", True, 4096, 64),
        ("use",),
        ("set_log", False, 0, 0),
        ("use",),
    ]


def test_descriptors_of_the_queue_can_be_replaced(bench: Bench, files: list[int]) -> None:
    bench.request(messages.SetQueueDescriptor("call", True, 1), (files[0],))
    bench.request(messages.SetQueueDescriptor("kick", False, 2))
    assert bench.plane.calls == [
        ("queue_set_descriptor", "call", True),
        ("queue_set_descriptor", "kick", False),
    ]


def test_a_reset_forgets_every_resource(bench: Bench) -> None:
    create = wire.virtio_gpu_resource_create_2d(1, 1, 4, 4)
    bench.command(wire.VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, create)
    bench.told()
    assert bench.request(messages.Reset(8)) == messages.Done(8)
    assert not bench.plane.resource_has_image(1)
    created = bench.command(wire.VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, create)
    assert created == wire.VIRTIO_GPU_RESP_OK_NODATA


def test_a_sign_of_life_is_given(bench: Bench) -> None:
    assert bench.request(messages.Ping(6)) == messages.Pong(6)


def test_what_another_device_process_left_is_taken_over(bench: Bench) -> None:
    entries = pack(wire.virtio_gpu_mem_entry(0, 4096)) * 2
    before = Bench()
    before.plane.resource_create_2d(3, 1, 4, 4)
    image = before.plane.resource_image_fd(3)
    assert bench.request(messages.AdoptResource(3, 1, 4, 4, 1), (image,)) == messages.Done(1)
    before.close()
    assert bench.request(messages.AdoptBacking(3, entries, 2)) == messages.Done(2)
    assert bench.request(messages.AdoptUuid(3, bytes(range(16)), 3)) == messages.Done(3)
    assert bench.plane.backing == {3: entries}
    # The guest goes on as if nothing had happened.
    uuid = wire.virtio_gpu_resource_assign_uuid(3)
    bench.command(wire.VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, uuid)
    assert bench.body() == bytes(range(16))
    unref = wire.virtio_gpu_resource_unref(3)
    done = bench.command(wire.VIRTIO_GPU_CMD_RESOURCE_UNREF, unref)
    assert done == wire.VIRTIO_GPU_RESP_OK_NODATA


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_uuid_of_another_length_is_refused(bench: Bench, length: int) -> None:
    bench.plane.resource_create_2d(3, 1, 4, 4)
    assert bench.request(messages.AdoptUuid(3, bytes(length), 3)) == messages.Refused(
        errno.EINVAL, 3
    )


def test_the_uuid_of_a_resource_that_was_not_taken_over_is_refused(bench: Bench) -> None:
    reply = bench.request(messages.AdoptUuid(3, bytes(16), 3))
    assert reply == messages.Refused(errno.ENOENT, 3)


@pytest.mark.parametrize(
    "message", [messages.Done(1), messages.Log("INFO", "x"), messages.GetDisplayInfo(1)]
)
def test_a_message_that_the_daemon_must_not_send_is_a_link_error(
    bench: Bench, message: messages.Message
) -> None:
    with pytest.raises(LinkError):
        bench.request(message)
