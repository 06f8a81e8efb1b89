# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""OpenGL through libvirglrenderer, on a ring: what contexts draw, what their fences say, what a hostile one costs."""

import signal
import struct
from collections.abc import Iterator

import pytest

from vgpud.link import messages

from ..driver import commands, commands_3d, drawing
from ..driver.commands import Format, Rectangle, ResponseType
from ..driver.commands_3d import NOP, Box, Command3D, Resource3D, Target
from ..driver.gpu import Guest
from ..driver.memory import PAGE, GuestMemory, MiB, Scattered
from .process import LIMITS, DeviceProcess, opengl_unavailable

OK = ResponseType.OK_NODATA
CTX = 1
SIDE = 32
BYTES = SIDE * SIDE * 4
WHOLE = Box(0, 0, 0, SIDE, SIDE, 1)
BGRA = Format.B8G8R8A8_UNORM
TEXTURE = Resource3D(format=BGRA, width=SIDE, height=SIDE)
# Red 1, green 0.5, blue 0.25, opaque.
COLOR, PIXEL = (1.0, 0.5, 0.25, 1.0), bytes((0x40, 0x80, 0xFF, 0xFF))


pytestmark = pytest.mark.skipif(bool(opengl_unavailable()), reason=opengl_unavailable())


class Machine:
    """A guest whose device process draws with the library."""

    def __init__(self) -> None:
        self.memory = GuestMemory(32 * MiB)
        self.guest = Guest(self.memory, control_size=256)
        self.process = DeviceProcess("virglrenderer", limits=LIMITS)
        self.process.share(self.memory)
        self.process.start_queue(self.guest)

    def close(self) -> None:
        self.process.close()
        self.guest.close()
        self.memory.close()

    def ask(self, request: bytes) -> int:
        return self.guest.ask(request).type

    def do(self, *requests: bytes) -> None:
        for request in requests:
            assert self.ask(request) == OK

    def texture(
        self, resource_id: int, resource: Resource3D = TEXTURE, count: int | None = None
    ) -> Scattered:
        """A resource of the context's, and the guest's memory behind it, in single pages out of order."""
        count = count or -(-resource.width * resource.height * 4 // PAGE)
        pages = self.memory.allocate_pages(count)
        entries = [(page, PAGE) for page in pages]
        self.do(
            commands_3d.resource_create_3d(resource_id, resource),
            commands.resource_attach_backing(resource_id, entries),
            commands_3d.ctx_attach_resource(CTX, resource_id),
        )
        return Scattered(self.memory, entries)

    def fetch(self, resource_id: int, box: Box = WHOLE, **keywords: int) -> int:
        command = Command3D.TRANSFER_FROM_HOST_3D
        return self.ask(commands_3d.transfer_3d(command, resource_id, box, ctx_id=CTX, **keywords))

    def put(self, resource_id: int, box: Box = WHOLE, **keywords: int) -> int:
        command = Command3D.TRANSFER_TO_HOST_3D
        return self.ask(commands_3d.transfer_3d(command, resource_id, box, ctx_id=CTX, **keywords))


@pytest.fixture(scope="module")
def running() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.close()


@pytest.fixture
def machine(running: Machine) -> Iterator[Machine]:
    """With a context; after each test the device is reset, as at a reboot."""
    running.do(commands_3d.ctx_create(CTX))
    yield running
    base = running.process.stop_queue()
    running.process.do(messages.Reset())
    running.process.start_queue(running.guest, base)


# --- capability sets


def test_both_capability_sets_are_offered_and_virgl2_last(machine: Machine) -> None:
    offered = []
    for index in range(2):
        response = machine.guest.do(commands.get_capset_info(index), commands.CAPSET_INFO_SIZE)
        offered.append(struct.unpack_from("<III", response.data))
    assert [capset_id for capset_id, _, _ in offered] == [1, 2]
    for capset_id, version, size in offered:
        capset = commands.get_capset(capset_id, version)
        response = machine.guest.do(capset, commands.HEADER_SIZE + size)
        assert response.type == ResponseType.OK_CAPSET
        assert struct.unpack_from("<I", response.data)[0] == capset_id


def test_a_set_that_is_not_offered_does_not_exist(machine: Machine) -> None:
    assert machine.ask(commands.get_capset_info(2)) == ResponseType.ERR_INVALID_PARAMETER
    assert machine.ask(commands.get_capset(4, 0)) == ResponseType.ERR_INVALID_PARAMETER


# --- contexts


def test_a_context_exists_once_and_until_it_is_destroyed(machine: Machine) -> None:
    assert machine.ask(commands_3d.ctx_create(CTX)) == ResponseType.ERR_INVALID_CONTEXT_ID
    machine.do(commands_3d.ctx_destroy(CTX))
    assert machine.ask(commands_3d.ctx_destroy(CTX)) == ResponseType.ERR_INVALID_CONTEXT_ID
    submit = commands_3d.submit_3d(CTX, NOP)
    assert machine.ask(submit) == ResponseType.ERR_INVALID_CONTEXT_ID
    machine.do(commands_3d.ctx_create(CTX), submit)


def test_a_context_may_name_its_capability_set(machine: Machine) -> None:
    machine.do(commands_3d.ctx_create(2, b"", 2), commands_3d.ctx_create(3, b"x" * 64, 1))
    venus = commands_3d.ctx_create(4, b"", 4)
    assert machine.ask(venus) == ResponseType.ERR_INVALID_PARAMETER


def test_there_are_as_many_contexts_as_the_quota_says(machine: Machine) -> None:
    for ctx_id in range(2, LIMITS.contexts + 1):
        machine.do(commands_3d.ctx_create(ctx_id))
    one_more = commands_3d.ctx_create(LIMITS.contexts + 1)
    assert machine.ask(one_more) == ResponseType.ERR_OUT_OF_MEMORY


# --- drawing and transfers


def test_what_a_context_draws_is_what_the_guest_reads(machine: Machine) -> None:
    memory = machine.texture(5)
    machine.do(commands_3d.submit_3d(CTX, commands_3d.clear(5, BGRA, COLOR)))
    assert machine.fetch(5) == OK
    assert memory.read(0, BYTES) == PIXEL * (SIDE * SIDE)


BETWEEN = {
    "a texture is made": [commands_3d.resource_create_3d(9, TEXTURE)],
    "a buffer is made": [commands_3d.resource_create_3d(9, drawing.VERTEX_BUFFER)],
    "a texture is made and deleted": [
        commands_3d.resource_create_3d(9, TEXTURE),
        commands.resource_unref(9),
    ],
    "a context is made": [commands_3d.ctx_create(2)],
    "a context is made and destroyed": [commands_3d.ctx_create(2), commands_3d.ctx_destroy(2)],
    "the picture is shown": [
        commands.set_scanout(0, 5, Rectangle(0, 0, SIDE, SIDE)),
        commands.resource_flush(5, Rectangle(0, 0, SIDE, SIDE)),
    ],
}


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN.keys())
def test_what_a_context_has_bound_stays_bound_while_other_commands_are_carried_out(
    machine: Machine, between: list[bytes]
) -> None:
    shown, texture = machine.texture(5), machine.texture(6)
    texture.write(0, PIXEL * (SIDE * SIDE))
    vertices = machine.texture(7, drawing.VERTEX_BUFFER)
    vertices.write(0, drawing.VERTICES)
    assert machine.put(6) == machine.put(7, Box(0, 0, 0, len(drawing.VERTICES), 1, 1)) == OK
    machine.do(commands_3d.submit_3d(CTX, drawing.set_up(5, 6, 7, BGRA, SIDE) + drawing.draw()))
    again = commands_3d.clear_framebuffer((0, 0, 0, 0)) + drawing.draw()
    machine.do(commands_3d.submit_3d(CTX, NOP), *between, commands_3d.submit_3d(CTX, again))
    assert machine.fetch(5) == OK
    assert shown.read(0, BYTES) == PIXEL * (SIDE * SIDE)


def test_a_transfer_moves_the_box_alone(machine: Machine) -> None:
    memory = machine.texture(5)
    memory.write(0, bytes(BYTES))
    assert machine.put(5) == OK
    stride = SIDE * 4
    memory.write(0, b"\xee" * BYTES)
    # A box of 4 by 2 at (8, 3), from offset 16 on with rows 64 bytes apart.
    assert machine.put(5, Box(8, 3, 0, 4, 2, 1), offset=16, stride=64) == OK
    memory.write(0, b"\x11" * BYTES)
    assert machine.fetch(5) == OK
    expected = bytearray(BYTES)
    for row in (3, 4):
        expected[row * stride + 32 : row * stride + 48] = b"\xee" * 16
    assert memory.read(0, BYTES) == expected


def test_layers_are_as_far_apart_as_the_layer_stride_says(machine: Machine) -> None:
    array = Resource3D(Target.TEXTURE_2D_ARRAY, BGRA, width=4, height=4, array_size=2)
    memory = machine.texture(6, array)
    memory.write(0, bytes(range(64)) + bytes(64) + bytes(range(100, 164)))
    box = Box(0, 0, 0, 4, 4, 2)
    assert machine.put(6, box, stride=16, layer_stride=128) == OK
    memory.write(0, bytes(256))
    assert machine.fetch(6, box, stride=16, layer_stride=64) == OK
    assert memory.read(0, 128) == bytes(range(64)) + bytes(range(100, 164))


LAYERED = {
    Target.TEXTURE_3D: {"depth": 4},
    Target.TEXTURE_CUBE: {"array_size": 6},
    Target.TEXTURE_2D_ARRAY: {"array_size": 4},
    Target.TEXTURE_CUBE_ARRAY: {"array_size": 12},
}
RGBA32_FLOAT = 31


@pytest.mark.parametrize("pixel_format", [BGRA, RGBA32_FLOAT])
@pytest.mark.parametrize("target", LAYERED)
def test_every_layer_is_written_and_read(
    machine: Machine, target: Target, pixel_format: int
) -> None:
    size = 8 * 8 * (16 if pixel_format == RGBA32_FLOAT else 4)
    layers = max(LAYERED[target].values())
    resource = Resource3D(target, pixel_format, width=8, height=8, **LAYERED[target])
    memory = machine.texture(5, resource, count=4)
    # No float that is not a number.
    pixels = b"".join(bytes([layer + 1]) * size for layer in range(layers))
    memory.write(0, pixels)
    assert machine.put(5, Box(0, 0, 0, 8, 8, layers)) == OK
    memory.write(0, b"\xee" * len(pixels))
    assert machine.fetch(5, Box(0, 0, 1, 8, 8, layers - 1)) == OK
    assert memory.read(0, len(pixels)) == pixels[size:] + b"\xee" * size
    memory.write(0, b"\xee" * len(pixels))
    assert machine.fetch(5, Box(0, 0, 0, 8, 8, layers)) == OK
    assert memory.read(0, len(pixels)) == pixels


def test_layers_that_there_are_not_are_refused(machine: Machine) -> None:
    array = Resource3D(Target.TEXTURE_2D_ARRAY, BGRA, width=4, height=4, array_size=2)
    machine.texture(6, array)
    for z, count in ((0, 3), (1, 2), (2, 1), (0, 0xFFFFFFFF), (0xFFFFFFFF, 2)):
        assert machine.fetch(6, Box(0, 0, z, 4, 4, count)) == ResponseType.ERR_UNSPEC
    beyond = {"stride": 16, "layer_stride": 0xFFFFFFF0}
    assert machine.fetch(6, Box(0, 0, 0, 4, 4, 2), **beyond) == ResponseType.ERR_UNSPEC
    far = {"offset": (1 << 64) - 16}
    assert machine.fetch(6, Box(0, 0, 0, 4, 4, 2), **far) == ResponseType.ERR_UNSPEC


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_level_has_its_own_pixels(machine: Machine, level: int) -> None:
    side = 16 >> level
    texture = Resource3D(format=BGRA, width=16, height=16, last_level=2)
    memory = machine.texture(7, texture)
    pixels = bytes(value % 251 for value in range(side * side * 4))
    memory.write(0, pixels)
    box = Box(0, 0, 0, side, side, 1)
    assert machine.put(7, box, level=level) == OK
    memory.write(0, bytes(16 * 16 * 4))
    assert machine.fetch(7, box, level=level) == OK
    assert memory.read(0, len(pixels)) == pixels


@pytest.mark.parametrize(
    "box",
    [Box(1, 0, 0, SIDE, SIDE, 1), Box(0, 0, 0, 1 << 31, 1, 1), Box(0, 0, 3, 1, 1, 1)],
    ids=["over the edge", "wrapping", "no such layer"],
)
def test_a_box_outside_the_resource_is_refused(machine: Machine, box: Box) -> None:
    machine.texture(5)
    assert machine.put(5, box) == ResponseType.ERR_UNSPEC


def test_a_transfer_beyond_the_backing_is_refused(machine: Machine) -> None:
    machine.texture(5)
    assert machine.put(5, offset=BYTES) == ResponseType.ERR_UNSPEC
    assert machine.fetch(5, offset=BYTES - 4) == ResponseType.ERR_UNSPEC


def test_a_transfer_without_backing_is_refused(machine: Machine) -> None:
    machine.texture(5)
    machine.do(commands.resource_detach_backing(5))
    assert machine.put(5) == ResponseType.ERR_UNSPEC


def test_transfers_name_what_exists(machine: Machine) -> None:
    machine.texture(5)
    assert machine.put(6) == ResponseType.ERR_INVALID_RESOURCE_ID
    stranger = commands_3d.transfer_3d(Command3D.TRANSFER_TO_HOST_3D, 5, WHOLE, ctx_id=7)
    assert machine.ask(stranger) == ResponseType.ERR_INVALID_CONTEXT_ID


# --- resources


def test_what_the_library_cannot_make_is_refused_and_its_number_stays_free(
    machine: Machine,
) -> None:
    for wrong in (Resource3D(target=9), Resource3D(format=9999), Resource3D(last_level=40)):
        request = commands_3d.resource_create_3d(5, wrong)
        assert machine.ask(request) in (
            ResponseType.ERR_INVALID_PARAMETER,
            ResponseType.ERR_OUT_OF_MEMORY,
        )
    machine.do(commands_3d.resource_create_3d(5, TEXTURE))
    again = commands_3d.resource_create_3d(5, TEXTURE)
    assert machine.ask(again) == ResponseType.ERR_INVALID_RESOURCE_ID


def test_flags_that_a_guest_must_not_give_do_not_reach_the_library(machine: Machine) -> None:
    # MAP_PERSISTENT and MAP_COHERENT of a buffer: newer releases crash of it where there is no GPU.
    buffer = Resource3D(Target.BUFFER, 64, commands_3d.BIND_VERTEX_BUFFER, 4096, 1, flags=6)
    machine.do(commands_3d.resource_create_3d(5, buffer))


def test_3d_resources_count_against_the_quota_until_they_are_gone(machine: Machine) -> None:
    # 16 MiB each of 64.
    large = Resource3D(format=BGRA, width=2048, height=2048)
    for resource_id in range(1, 5):
        machine.do(commands_3d.resource_create_3d(resource_id, large))
    one_more = commands_3d.resource_create_3d(5, large)
    assert machine.ask(one_more) == ResponseType.ERR_OUT_OF_MEMORY
    machine.do(commands.resource_unref(1), one_more)


def test_a_buffer_of_4_gib_is_refused_at_once(machine: Machine) -> None:
    buffer = Resource3D(Target.BUFFER, 64, commands_3d.BIND_VERTEX_BUFFER, 0xFFFFFFFF, 1)
    request = commands_3d.resource_create_3d(5, buffer)
    assert machine.ask(request) == ResponseType.ERR_OUT_OF_MEMORY


# --- 2D resources


def test_a_context_sees_what_2d_commands_have_drawn(machine: Machine) -> None:
    resource = machine.guest.create_2d(SIDE, SIDE, BGRA)
    machine.guest.fill(resource, bytes((1, 2, 3, 4)))
    machine.guest.transfer(resource)
    machine.guest.fill(resource, bytes(4))
    machine.do(commands_3d.ctx_attach_resource(CTX, resource.resource_id))
    assert machine.fetch(resource.resource_id) == OK
    backing = Scattered(machine.memory, resource.entries)
    assert backing.read(0, BYTES) == bytes((1, 2, 3, 4)) * (SIDE * SIDE)


def test_2d_transfers_reach_a_resource_that_a_context_has(machine: Machine) -> None:
    resource = machine.guest.create_2d(SIDE, SIDE, Format.R8G8B8A8_UNORM)
    machine.do(
        commands_3d.ctx_attach_resource(CTX, resource.resource_id), commands_3d.submit_3d(CTX, NOP)
    )
    machine.guest.fill(resource, bytes((5, 6, 7, 8)))
    machine.guest.transfer(resource, Rectangle(0, 4, SIDE, 1))
    machine.guest.fill(resource, bytes(4))
    assert machine.fetch(resource.resource_id) == OK
    row = Scattered(machine.memory, resource.entries).read(4 * SIDE * 4, SIDE * 4)
    assert row == bytes((5, 6, 7, 8)) * SIDE


def test_3d_resources_can_be_shown_when_they_are_pictures(machine: Machine) -> None:
    whole = Rectangle(0, 0, SIDE, SIDE)
    machine.texture(5)
    machine.do(commands.set_scanout(0, 5, whole), commands.resource_flush(5, whole))
    machine.texture(6, Resource3D(Target.TEXTURE_3D, BGRA, width=SIDE, height=SIDE, depth=2))
    refused = commands.set_scanout(0, 6, whole)
    assert machine.ask(refused) == ResponseType.ERR_INVALID_PARAMETER
    outside = commands.resource_flush(5, Rectangle(1, 0, SIDE, SIDE))
    assert machine.ask(outside) == ResponseType.ERR_INVALID_PARAMETER


# --- streams and fences


def test_a_stream_that_is_cut_short_or_odd_is_refused(machine: Machine) -> None:
    for length, stream in ((8, NOP), (3, NOP), (1 << 31, NOP)):
        request = bytearray(commands_3d.submit_3d(CTX, stream))
        struct.pack_into("<I", request, commands.HEADER_SIZE, length)
        refused = machine.ask(bytes(request))
        wrong = (ResponseType.ERR_INVALID_PARAMETER, ResponseType.ERR_OUT_OF_MEMORY)
        assert refused in wrong
    machine.do(commands_3d.submit_3d(CTX, b""))


def test_a_stream_beyond_the_quota_is_refused(machine: Machine) -> None:
    most = LIMITS.submit_bytes // len(NOP)
    machine.do(commands_3d.submit_3d(CTX, NOP * most))
    too_long = commands_3d.submit_3d(CTX, NOP * (most + 1))
    assert machine.ask(too_long) == ResponseType.ERR_OUT_OF_MEMORY


def test_a_wrong_stream_is_an_error_and_the_next_context_works(machine: Machine) -> None:
    wrong = commands_3d.words(commands_3d.word(250, 1), 0)
    assert machine.ask(commands_3d.submit_3d(CTX, wrong)) == ResponseType.ERR_UNSPEC
    machine.do(commands_3d.ctx_create(2), commands_3d.submit_3d(2, NOP))


def test_a_fence_has_64_bits_and_comes_back_when_it_has_passed(machine: Machine) -> None:
    machine.texture(5)
    stream = commands_3d.clear(5, BGRA, COLOR)
    for fence_id in (1, 1 << 32 | 1, (1 << 64) - 1):
        response = machine.guest.do(commands_3d.submit_3d(CTX, stream, fence_id))
        assert (response.flags, response.fence_id) == (commands.FLAG_FENCE, fence_id)
        stream = NOP


def test_fences_come_back_in_their_order(machine: Machine) -> None:
    guest = machine.guest
    machine.texture(5)
    stream = commands_3d.clear(5, BGRA, COLOR)
    pending = [guest.submit(commands_3d.submit_3d(CTX, stream, 1))]
    # Beside streams, a command that draws nothing: drivers take its fence for all before it.
    for fence_id in range(2, 60):
        request = commands_3d.submit_3d(CTX, NOP, fence_id)
        if fence_id % 3 == 0:
            request = commands_3d.transfer_3d(
                Command3D.TRANSFER_FROM_HOST_3D, 5, WHOLE, ctx_id=CTX, fence_id=fence_id
            )
        if fence_id % 3 == 1:
            request = commands.resource_create_2d(fence_id, BGRA, 8, 8, fence_id)
        pending.append(guest.submit(request))
    order: list[int] = []
    taken = guest.control.ring.collect
    while len(order) < len(pending):
        used = taken()
        order += [one.id for one in used]
        if not used:
            assert guest.control.wait_for_call(5)
    assert order == [one.id for one in pending]


def test_a_context_has_a_timeline_of_its_own(machine: Machine) -> None:
    response = machine.guest.do(commands_3d.submit_3d(CTX, NOP, 9, ring_idx=0))
    assert (response.fence_id, response.ctx_id, response.ring_idx) == (9, CTX, 0)
    # virgl has no other ring; the fence is one of all contexts then.
    response = machine.guest.do(commands_3d.submit_3d(CTX, NOP, 10, ring_idx=3))
    assert (response.fence_id, response.ring_idx) == (10, 3)


def test_the_result_of_a_query_is_there_when_its_fence_comes_back(machine: Machine) -> None:
    buffer = Resource3D(Target.BUFFER, 64, commands_3d.BIND_CUSTOM, 16, 1)
    memory = machine.texture(5)
    result = machine.texture(6, buffer)
    result.write(0, bytes(16))
    assert memory.read(0, 1) == b"\0"
    stream = commands_3d.clear(5, BGRA, COLOR) + commands_3d.query(6)
    for fence_id in range(1, 20):
        machine.do(commands_3d.submit_3d(CTX, stream, fence_id))
        state, _ = struct.unpack("<II", result.read(0, 8))
        assert state == commands_3d.QUERY_STATE_DONE
        result.write(0, bytes(16))
        stream = commands_3d.words(
            commands_3d.word(commands_3d.Ccmd.BEGIN_QUERY, 1),
            2,
            commands_3d.word(commands_3d.Ccmd.END_QUERY, 1),
            2,
            commands_3d.word(commands_3d.Ccmd.GET_QUERY_RESULT, 2),
            2,
            0,
        )


# --- what cannot be made safe


def test_a_guest_reads_nothing_that_the_host_had_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # glibc fills what it allocates with the complement (MALLOC_PERTURB_, mallopt(3)).
    monkeypatch.setenv("MALLOC_PERTURB_", str(0xFF ^ 0xBE))
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")
    machine = Machine()
    machine.do(commands_3d.ctx_create(CTX))
    several = Resource3D(Target.TEXTURE_2D_ARRAY, BGRA, width=SIDE, height=SIDE, array_size=4)
    sampled = Resource3D(format=BGRA, width=SIDE, height=SIDE, nr_samples=4)
    for resource_id, resource, layers in ((5, several, 4), (6, sampled, 1)):
        memory = machine.texture(resource_id, resource, count=layers + 1)
        box = Box(0, 0, 0, SIDE, SIDE, layers)
        machine.ask(commands_3d.submit_3d(CTX, commands_3d.read_back(resource_id, box)))
        assert memory.read(0, layers * BYTES) == bytes(layers * BYTES)
        memory.write(0, bytes(layers * BYTES))
        machine.fetch(resource_id, box)
        assert memory.read(0, layers * BYTES) == bytes(layers * BYTES)
    machine.close()


def test_a_stream_that_crashes_the_library_ends_the_device_process_alone() -> None:
    machine = Machine()
    machine.do(commands_3d.ctx_create(CTX))
    machine.texture(5)
    machine.guest.submit(commands_3d.submit_3d(CTX, commands_3d.clear_texture_out_of_bounds(5)))
    assert machine.process.process.wait(10) == -signal.SIGSEGV
    machine.close()


def test_the_next_device_process_has_the_resources_and_none_of_the_contexts() -> None:
    machine = Machine()
    machine.do(commands_3d.ctx_create(CTX))
    memory = machine.texture(5)
    machine.process.kill()
    successor = DeviceProcess("virglrenderer", limits=LIMITS, state_fd=machine.process.state_fd)
    successor.share(machine.memory)
    for message in machine.process.told:
        if isinstance(message, messages.Resource3DCreated):
            successor.do(messages.AdoptResource3D(*message))
        elif isinstance(message, messages.BackingAttached):
            successor.do(messages.AdoptBacking(*message))
    machine.process.close()
    machine.process = successor
    successor.start_queue(machine.guest, recover=True)
    lost = machine.ask(commands_3d.submit_3d(CTX, NOP))
    assert lost == ResponseType.ERR_INVALID_CONTEXT_ID
    machine.do(commands_3d.ctx_create(2), commands_3d.ctx_attach_resource(2, 5))
    machine.do(commands_3d.submit_3d(2, commands_3d.clear(5, BGRA, COLOR)))
    machine.do(
        commands_3d.transfer_3d(Command3D.TRANSFER_FROM_HOST_3D, 5, WHOLE, ctx_id=2, fence_id=1)
    )
    assert memory.read(0, 4) == PIXEL
    machine.close()
