# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Cross-domain contexts of the real librutabaga_gfx_ffi, on a ring: their rings in guest memory, images of the host's, fences."""

import mmap
import os
import struct
from collections.abc import Iterator

import pytest

from vgpud.link import messages

from ..driver import commands, commands_3d, rutabaga
from ..driver.commands import Format, Rectangle, ResponseType
from ..driver.frontend import Feature
from ..driver.gpu import Guest
from ..driver.memory import PAGE, GuestMemory, MiB, Scattered
from ..driver.rutabaga import CHANNEL_RING, CROSS_DOMAIN, QUERY_RING
from .images import newest_pixels
from .process import DeviceProcess, wait_until

pytestmark = pytest.mark.skipif(rutabaga.folder() is None, reason=rutabaga.NOT_BUILT)

OK = ResponseType.OK_NODATA
CTX, RING, IMAGE = 1, 1, 2
FEATURES = messages.SetFeatures(int(Feature.RESOURCE_BLOB | Feature.VERSION_1), True)


class Machine:
    """A guest whose contexts are cross-domain ones; ``mapped`` is what the session was asked to map."""

    def __init__(self) -> None:
        self.mapped: list[messages.MapBlob] = []
        self.memory = GuestMemory(16 * MiB)
        self.guest = Guest(self.memory, event_idx=True)
        self.process = DeviceProcess(
            "gfxstream",
            capsets=("cross-domain",),
            environment=rutabaga.environment(),
            answer=self.answer,
        )
        self.process.do(FEATURES)
        self.process.share(self.memory)
        self.process.start_queue(self.guest)

    def answer(self, message: messages.Message) -> messages.Message | None:
        if not isinstance(message, messages.MapBlob | messages.UnmapBlob):
            return None
        if isinstance(message, messages.MapBlob):
            self.mapped.append(message)
        return messages.Answer(message.request, 0, b"")

    def ask(self, request: bytes, length: int = commands.HEADER_SIZE) -> int:
        return self.guest.ask(request, length).type

    def do(self, *requests: bytes) -> None:
        for request in requests:
            assert self.ask(request) == OK

    def ring(self, number: int = RING) -> Scattered:
        """A guest blob that the context has."""
        entries = [(self.memory.allocate(PAGE, PAGE), PAGE)]
        self.do(
            commands.resource_create_blob(number, PAGE, entries, blob_flags=1),
            commands_3d.ctx_attach_resource(CTX, number),
        )
        return Scattered(self.memory, entries)

    def submit(self, stream: bytes) -> int:
        return self.ask(commands_3d.submit_3d(CTX, stream))

    def image(self, ring: Scattered, side: int = 64) -> rutabaga.Requirements:
        """What an image of that size takes."""
        assert self.submit(rutabaga.image_requirements(side, side)) == OK
        return rutabaga.requirements(ring.read(0, PAGE))

    def close(self) -> None:
        self.process.close()
        self.guest.close()
        self.memory.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.close()


@pytest.fixture
def machine(running: Machine) -> Iterator[Machine]:
    running.do(commands_3d.ctx_create(CTX, context_init=CROSS_DOMAIN))
    yield running
    base = running.process.stop_queue()
    running.process.do(messages.Reset())
    running.process.start_queue(running.guest, base)
    running.mapped.clear()


# --- capability sets and contexts


def test_the_set_that_was_chosen_is_offered_alone(machine: Machine) -> None:
    info = machine.guest.do(commands.get_capset_info(0), commands.CAPSET_INFO_SIZE)
    capset_id, version, size = struct.unpack_from("<III", info.data)
    assert (capset_id, size) == (CROSS_DOMAIN, 16)
    assert machine.ask(commands.get_capset_info(1)) == ResponseType.ERR_INVALID_PARAMETER
    data = machine.guest.do(commands.get_capset(CROSS_DOMAIN, version), commands.HEADER_SIZE + size)
    # A version, and no channel: none was named.
    assert struct.unpack_from("<2I", data.data) == (1, 0)


@pytest.mark.parametrize("capset_id", [1, 3, 4, 8, 77])
def test_contexts_of_other_sets_do_not_exist(machine: Machine, capset_id: int) -> None:
    request = commands_3d.ctx_create(2, context_init=capset_id)
    assert machine.ask(request) == ResponseType.ERR_INVALID_PARAMETER


def test_a_context_of_no_set_is_a_cross_domain_one(machine: Machine) -> None:
    machine.do(commands_3d.ctx_create(2))
    assert machine.ask(commands_3d.submit_3d(2, b"\0" * 8)) == ResponseType.ERR_UNSPEC
    machine.do(commands_3d.ctx_destroy(2))


# --- rings, which are guest blobs


def test_an_image_of_the_hosts_is_described_in_the_ring(machine: Machine) -> None:
    ring = machine.ring()
    assert machine.submit(rutabaga.init(RING, RING)) == OK
    image = machine.image(ring)
    assert image.stride >= 64 * 4
    assert image.size >= image.stride * 64
    assert image.blob_id != 0


def test_a_ring_that_moves_is_found_where_it_is(machine: Machine) -> None:
    ring = machine.ring()
    assert machine.submit(rutabaga.init(RING, RING)) == OK
    first = machine.image(ring)
    elsewhere = [(machine.memory.allocate(PAGE, PAGE), PAGE)]
    machine.do(commands.resource_detach_backing(RING))
    ring.write(0, b"\xee" * PAGE)
    assert machine.submit(rutabaga.image_requirements(8, 8)) == ResponseType.ERR_UNSPEC
    machine.do(commands.resource_attach_backing(RING, elsewhere))
    second = machine.image(Scattered(machine.memory, elsewhere))
    assert second.blob_id > first.blob_id
    assert ring.read(0, PAGE) == b"\xee" * PAGE


def test_a_ring_in_two_contexts_is_both_s(machine: Machine) -> None:
    ring = machine.ring()
    machine.do(
        commands_3d.ctx_create(2, context_init=CROSS_DOMAIN),
        commands_3d.ctx_attach_resource(2, RING),
    )
    for ctx_id in (1, 2):
        ring.write(0, bytes(PAGE))
        machine.do(
            commands_3d.submit_3d(ctx_id, rutabaga.init(RING, RING)),
            commands_3d.submit_3d(ctx_id, rutabaga.image_requirements(64, 64)),
        )
        assert rutabaga.requirements(ring.read(0, PAGE)).stride >= 64 * 4
    machine.do(commands_3d.ctx_destroy(2))
    assert machine.submit(rutabaga.image_requirements(64, 64)) == OK


@pytest.mark.parametrize(
    "request_",
    [commands.resource_unref(RING), commands_3d.ctx_detach_resource(CTX, RING)],
    ids=["the ring goes", "it is detached"],
)
def test_a_ring_that_is_gone_is_written_no_more(machine: Machine, request_: bytes) -> None:
    ring = machine.ring()
    assert machine.submit(rutabaga.init(RING, RING)) == OK
    machine.do(request_)
    ring.write(0, b"\xee" * PAGE)
    assert machine.submit(rutabaga.image_requirements(64, 64)) == ResponseType.ERR_UNSPEC
    assert ring.read(0, PAGE) == b"\xee" * PAGE


# --- streams


HOSTILE = [
    b"\0" * 8,
    b"\x01" + b"\0" * 7,
    struct.pack("<BBHI", rutabaga.POLL, 0, 0, 0),
    struct.pack("<BBHI", rutabaga.POLL, 0, 4, 0) * 2,
    struct.pack("<BBHI", rutabaga.POLL, 0, 0xFFFF, 0),
    struct.pack("<BBHI", rutabaga.INIT, 0, 20, 0),
    rutabaga.init(RING, RING)[:12],
    rutabaga.init(RING, RING, rutabaga.WAYLAND),
    rutabaga.init(RING, RING, 77),
    rutabaga.init(77, RING),
    rutabaga.image_requirements(0xFFFFFFFF, 0xFFFFFFFF),
    rutabaga.image_requirements(8, 8, format=0),
    rutabaga.send(b"hello"),
    rutabaga.send(b"hello", (RING, 99)),
    struct.pack("<BBHI", 7, 0, 24, 0) + b"\xff" * 16,
    struct.pack("<BBHI", 0xFF, 0xFF, 8, 0xFFFFFFFF),
]  # fmt: skip


@pytest.mark.parametrize("stream", HOSTILE)
def test_a_stream_that_means_nothing_is_refused(machine: Machine, stream: bytes) -> None:
    """A command without a length, which the library would read for ever, among them."""
    ring = machine.ring()
    assert machine.submit(rutabaga.init(RING, RING)) == OK
    assert machine.submit(stream) == ResponseType.ERR_UNSPEC
    assert machine.image(ring).blob_id != 0


# --- images of the host's


def test_an_image_is_mapped_as_often_as_it_is_wanted(machine: Machine) -> None:
    ring = machine.ring()
    assert machine.submit(rutabaga.init(RING, RING)) == OK
    image = machine.image(ring)
    machine.do(
        commands.create_host_blob(IMAGE, image.size, CTX, image.blob_id),
        commands_3d.ctx_attach_resource(CTX, IMAGE),
    )
    for _ in range(2):
        response = machine.guest.ask(commands.resource_map_blob(IMAGE), commands.MAP_INFO_SIZE)
        assert response.type == ResponseType.OK_MAP_INFO
        assert struct.unpack_from("<I", response.data) == (commands.MAP_CACHE_CACHED,)
        machine.do(commands.resource_unmap_blob(IMAGE))
    assert [asked.length for asked in machine.mapped] == [-(-image.size // PAGE) * PAGE] * 2
    machine.do(commands.resource_unref(IMAGE))


def test_an_image_is_shown_as_it_was_drawn(machine: Machine) -> None:
    ring = machine.ring()
    assert machine.submit(rutabaga.init(RING, RING)) == OK
    image = machine.image(ring)
    machine.do(commands.create_host_blob(IMAGE, image.size, CTX, image.blob_id))
    response = machine.guest.ask(commands.resource_map_blob(IMAGE), commands.MAP_INFO_SIZE)
    assert response.type == ResponseType.OK_MAP_INFO
    whole = Rectangle(0, 0, 64, 64)
    plane = commands.Plane(64, 64, Format.B8G8R8X8_UNORM, image.stride)
    machine.do(commands.set_scanout_blob(0, IMAGE, whole, plane))
    assert wait_until(lambda: {0} == machine.process.pictures.keys())
    for turn in range(3):
        pixels = bytes([turn + 1]) * (image.stride * 64)
        with mmap.mmap(machine.process.images[IMAGE], len(pixels)) as drawn:
            drawn[:] = pixels
        machine.do(commands.resource_flush(IMAGE, whole))
        seen = newest_pixels(machine.process.pictures[0], 64, 64)
        assert seen == bytes([turn + 1]) * len(seen)
    machine.do(commands.resource_unref(IMAGE))


def test_what_was_not_described_cannot_be_made(machine: Machine) -> None:
    machine.ring()
    assert machine.submit(rutabaga.init(RING, RING)) == OK
    for blob_id in (0, 2, 3, 1 << 32):
        request = commands.create_host_blob(IMAGE, PAGE, CTX, blob_id)
        assert machine.ask(request) == ResponseType.ERR_INVALID_PARAMETER


def test_a_blob_is_as_long_as_its_image(machine: Machine) -> None:
    ring = machine.ring()
    assert machine.submit(rutabaga.init(RING, RING)) == OK
    image = machine.image(ring, side=8)
    request = commands.create_host_blob(IMAGE, image.size + PAGE, CTX, image.blob_id)
    assert machine.ask(request) == ResponseType.ERR_INVALID_PARAMETER


# --- fences


def test_a_fence_of_the_query_ring_passes_at_once(machine: Machine) -> None:
    machine.ring()
    request = commands_3d.submit_3d(CTX, rutabaga.init(RING, RING), 7, QUERY_RING)
    response = machine.guest.ask(request)
    assert (response.type, response.fence_id) == (OK, 7)


def test_a_fence_of_the_channel_s_ring_waits_and_its_context_s_end_answers_it(
    machine: Machine,
) -> None:
    machine.ring()
    assert machine.submit(rutabaga.init(RING, RING)) == OK
    request = commands_3d.submit_3d(CTX, rutabaga.poll(), 8, CHANNEL_RING)
    waiting = machine.guest.submit(request, commands.HEADER_SIZE)
    machine.do(commands.set_scanout(0, 0, Rectangle(0, 0, 0, 0)))
    assert machine.guest.control.finished(waiting) is None
    machine.do(commands_3d.ctx_destroy(CTX))
    assert machine.guest.wait(waiting).fence_id == 8
    machine.do(commands_3d.ctx_create(CTX, context_init=CROSS_DOMAIN))


# --- pictures


def test_an_image_that_a_context_has_is_shown_as_it_was(machine: Machine) -> None:
    resource = machine.guest.create_2d(32, 32, Format.B8G8R8X8_UNORM)
    machine.do(commands_3d.ctx_attach_resource(CTX, resource.resource_id))
    machine.ring(77)
    assert machine.submit(rutabaga.init(77, 77)) == OK
    pixels = os.urandom(32 * 32 * 4)
    machine.guest.draw(resource, resource.whole, pixels)
    machine.guest.show(resource)
    drawn = newest_pixels(machine.process.image(resource.resource_id), 32, 32)
    assert bytes(drawn[0::4]) == pixels[0::4]


def test_there_are_no_textures(machine: Machine) -> None:
    request = commands_3d.resource_create_3d(5, commands_3d.Resource3D())
    assert machine.ask(request) == ResponseType.ERR_INVALID_PARAMETER
