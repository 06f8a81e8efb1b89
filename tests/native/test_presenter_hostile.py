# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A device process in a guest's hands: no record and no descriptor of its costs the daemon anything."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vgpud.native import lib

from .device_end import (
    F_SEAL_GROW,
    F_SEAL_SHRINK,
    STAGING_BYTES,
    DeviceEnd,
    Image,
    Kind,
    Record,
    sealed_memory,
)
from .presenting import SCANOUT, Presenting, noise

WHOLE = {"scanout_width": 64, "scanout_height": 48, "width": 64, "height": 48}
IMAGE = {**WHOLE, "image_id": 1, "image_width": 64, "image_height": 48}

BROKEN: dict[str, Callable[[DeviceEnd], None]] = {
    "too short": lambda device: device.send_bytes(bytes(63)),
    "too long": lambda device: device.send_bytes(bytes(65)),
    "a packet with a record more than fits": lambda device: device.send_bytes(
        Record(Kind.SCANOUT, 0, 8, 8).pack() * 9
    ),
    "a packet with half a record at its end": lambda device: device.send_bytes(
        Record(Kind.SCANOUT, 0, 8, 8).pack() + bytes(32)
    ),
    "a packet whose second record is broken": lambda device: device.send_bytes(
        Record(Kind.SCANOUT, 0, 8, 8).pack() + Record(0).pack()
    ),
    "an image that is attached to a packet's second record": lambda device: device.send_bytes(
        Record(Kind.SCANOUT, 0, 64, 48).pack() + Record(Kind.IMAGE, **IMAGE).pack(),
        device.staging_fd,
    ),
    "no kind": lambda device: device.send(Record(0)),
    "an unknown kind": lambda device: device.send(Record(0xFFFFFFFF)),
    "the presenter's own kind": lambda device: device.send(Record(Kind.CONSUMED)),
    "staging without a descriptor": lambda device: device.send(Record(Kind.STAGING)),
    "a second staging ring": lambda device: device.send(Record(Kind.STAGING), device.staging_fd),
    "a scanout beyond the last": lambda device: device.send(Record(Kind.SCANOUT, 16, 8, 8)),
    "a scanout too wide": lambda device: device.send(Record(Kind.SCANOUT, 0, 32768, 8)),
    "a scanout too high": lambda device: device.send(Record(Kind.SCANOUT, 0, 8, 0xFFFFFFFF)),
    "a scanout with a descriptor": lambda device: device.send(
        Record(Kind.SCANOUT, 0, 8, 8), device.staging_fd
    ),
    "staged beyond the last scanout": lambda device: device.send(
        Record(Kind.STAGED, 16, 8, 8, 0, 0, 8, 8)
    ),
    "staged without a size": lambda device: device.send(Record(Kind.STAGED, 0, 8, 8)),
    "staged for no scanout": lambda device: device.send(Record(Kind.STAGED, 0, 0, 8, 0, 0, 8, 8)),
    "staged beyond the ring's end": lambda device: device.send(
        Record(Kind.STAGED, **WHOLE, position=STAGING_BYTES - 64 * 48 * 4 + 1)
    ),
    "staged at the end of time": lambda device: device.send(
        Record(Kind.STAGED, **WHOLE, position=2**64 - 1)
    ),
    "staged that is larger than the ring": lambda device: device.send(
        Record(Kind.STAGED, 0, 32767, 32767, 0, 0, 32767, 32767)
    ),
    "staged with a descriptor": lambda device: device.send(
        Record(Kind.STAGED, **WHOLE), device.staging_fd
    ),
    "an image that was never attached": lambda device: device.send(Record(Kind.IMAGE, **IMAGE)),
    "two descriptors": lambda device: device.send(
        Record(Kind.IMAGE, **IMAGE), device.staging_fd, device.staging_fd
    ),
    "many descriptors": lambda device: device.send(
        Record(Kind.IMAGE, **IMAGE), *[device.staging_fd] * 200
    ),
    "an image's slot beyond the last": lambda device: device.send(
        Record(Kind.IMAGE, **IMAGE, slot=4), device.staging_fd
    ),
    "an image without rows": lambda device: device.send(
        Record(Kind.IMAGE, **{**IMAGE, "image_height": 0}), device.staging_fd
    ),
    "a forgotten image with a descriptor": lambda device: device.send(
        Record(Kind.FORGET), device.staging_fd
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_record_cuts_its_source_off_and_nothing_else(
    presenting: Presenting, how: str
) -> None:
    BROKEN[how](presenting.device)
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_BROKEN)
    presenting.device.close()
    presenting.device = DeviceEnd()
    presenting.set_source(presenting.device)
    pixels = noise(64, 48)
    presenting.device.staged(SCANOUT, (0, 0, 64, 48), pixels)
    assert presenting.display.wait_for_picture(0, pixels)


def test_an_empty_record_ends_its_source_and_leaves_no_descriptor(presenting: Presenting) -> None:
    presenting.stop()
    presenting.device.send_bytes(b"", presenting.device.staging_fd)
    presenting.device.send(Record(Kind.IMAGE, **IMAGE), presenting.device.staging_fd)
    presenting.thread = threading.Thread(target=presenting._run)
    presenting.thread.start()
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_CLOSED)


def test_positions_of_the_ring_only_grow(presenting: Presenting) -> None:
    presenting.device.staged(SCANOUT, (0, 0, 64, 48), noise(64, 48))
    presenting.device.send(Record(Kind.STAGED, **WHOLE, position=64 * 48 * 4 - 1))
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_BROKEN)


def test_an_image_keeps_its_size(presenting: Presenting) -> None:
    image = Image(1, 64, 48)
    presenting.device.image(SCANOUT, (0, 0, 64, 48), image)
    assert presenting.device.released() is not None
    presenting.device.send(Record(Kind.IMAGE, **{**IMAGE, "image_width": 65}))
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_BROKEN)
    image.close()


def test_an_image_is_attached_once(presenting: Presenting) -> None:
    image = Image(1, 64, 48)
    for _ in range(2):
        presenting.device.send(Record(Kind.IMAGE, **IMAGE), image.fd)
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_BROKEN)
    image.close()


def test_a_forgotten_image_is_attached_again(presenting: Presenting) -> None:
    image = Image(1, 64, 48)
    for _ in range(100):
        presenting.device.image(SCANOUT, (0, 0, 64, 48), image)
        presenting.device.send(Record(Kind.FORGET, image_id=1))
        image.attached = False
        assert presenting.device.released() is not None
    image.close()


def test_at_most_64_images_are_known(presenting: Presenting) -> None:
    image = Image(1, 64, 48)
    for image_id in range(64):
        presenting.device.send(Record(Kind.IMAGE, **{**IMAGE, "image_id": image_id}), image.fd)
        assert presenting.device.released() is not None
    presenting.device.send(Record(Kind.IMAGE, **{**IMAGE, "image_id": 64}), image.fd)
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_BROKEN)
    image.close()


def write_only() -> int:
    fd = sealed_memory(STAGING_BYTES)
    again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC)
    os.close(fd)
    return again


DESCRIPTORS: dict[str, Callable[[], int]] = {
    "not sealed": lambda: sealed_memory(STAGING_BYTES, 0),
    "sealed against growing only": lambda: sealed_memory(STAGING_BYTES, F_SEAL_GROW),
    "too small": lambda: sealed_memory(4096 + 4 * 64 * 48 * 4 - 1),
    "empty": lambda: sealed_memory(0, F_SEAL_SHRINK),
    "a socket": lambda: socket.socket(socket.AF_UNIX).detach(),
    "a file": lambda: os.open("/proc/self/exe", os.O_RDONLY | os.O_CLOEXEC),
    "a file without end": lambda: os.open("/dev/zero", os.O_RDWR | os.O_CLOEXEC),
    "only for its path": lambda: os.open("/dev/zero", os.O_PATH | os.O_CLOEXEC),
    "only for writing": write_only,
}


@pytest.mark.parametrize("what", DESCRIPTORS)
@pytest.mark.parametrize("kind", [Kind.IMAGE, Kind.STAGING])
def test_a_descriptor_that_is_no_sealed_memory_is_refused(
    presenting: Presenting, what: str, kind: Kind
) -> None:
    presenting.device.close()
    presenting.device = DeviceEnd(staging=False)
    presenting.set_source(presenting.device)
    fd = DESCRIPTORS[what]()
    presenting.device.send(Record(kind, **IMAGE), fd)
    os.close(fd)
    assert presenting.wait_for_reason(lib.PRESENTER_SOURCE_BROKEN)


def test_a_device_that_reads_no_answers_stops_nobody(presenting: Presenting) -> None:
    """Its answers wait, then its records wait; the display is served as far as it gets."""
    image = Image(1, 64, 48)
    presenting.device.channel.setblocking(False)
    sent = 0
    try:
        while sent < 100_000:
            presenting.device.image(SCANOUT, (0, 0, 64, 48), image)
            sent += 1
    except BlockingIOError:
        pass
    assert sent < 10_000
    assert presenting.display.wait_for(lambda: 0 in presenting.display.pictures)
    presenting.device.channel.setblocking(True)
    assert presenting.device.released() is not None
    image.close()


NUMBERS = st.one_of(
    st.integers(0, 70), st.sampled_from([4096, 32768, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1)
)
RECORDS = st.builds(
    Record,
    kind=st.integers(0, 8),
    scanout_id=st.integers(0, 17),
    scanout_width=NUMBERS,
    scanout_height=NUMBERS,
    x=NUMBERS,
    y=NUMBERS,
    width=NUMBERS,
    height=NUMBERS,
    image_id=st.integers(0, 2),
    slot=st.integers(0, 5),
    source_x=NUMBERS,
    source_y=NUMBERS,
    image_width=st.sampled_from([0, 1, 64, 32767, 2**32 - 1]),
    image_height=st.sampled_from([0, 1, 48, 32767, 2**32 - 1]),
    position=st.one_of(NUMBERS, st.integers(0, 2**64 - 1)),
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.lists(RECORDS, min_size=1, max_size=8), st.booleans()), max_size=12))
def test_no_record_makes_qemu_or_the_daemon_crash(
    packets: list[tuple[list[Record], bool]],
) -> None:
    presenting = Presenting()
    image = Image(1, 64, 48)
    for records, attached in packets:
        packet = b"".join(record.pack() for record in records)
        try:
            presenting.device.send_bytes(packet, *((image.fd,) if attached else ()))
        except ConnectionError:
            break
    presenting.close()
    image.close()
