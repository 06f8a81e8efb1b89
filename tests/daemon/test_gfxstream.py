# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""gfxstream itself through the whole daemon, behind its walls, on Debian 13: textures, rings that a VMM maps, deaths."""

import mmap
import os
import signal
from collections.abc import Iterator

import pytest

from ..driver import commands, commands_3d, gfxstream
from ..driver.backend import Backend, Machine
from ..driver.commands import Format, Rectangle, ResponseType
from ..driver.commands_3d import Box, Command3D, Resource3D
from ..driver.frontend import GENERIC_FEATURES, QEMU_PROTOCOL, Feature, Protocol
from ..driver.memory import PAGE, Scattered
from ..driver.shared_region import SharedRegion
from ..e2e import host
from .running import devices, show, wait_until

pytestmark = pytest.mark.skipif(gfxstream.folder() is None, reason=gfxstream.NOT_NAMED)

OK = ResponseType.OK_NODATA
CTX, RING = 1, 77
WIDTH, HEIGHT = 96, 64
BYTES = WIDTH * HEIGHT * 4
WHOLE = Rectangle(0, 0, WIDTH, HEIGHT)
BOX = Box(0, 0, 0, WIDTH, HEIGHT, 1)


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    program, *rest = host.vgpud_command()
    library = f"LD_LIBRARY_PATH={gfxstream.folder()}"
    with Backend(
        lambda path: [
            program,
            "env",
            library,
            *rest,
            "--gpu-mode=gfxstream",
            f"--socket-path={path}",
        ]
    ) as running:
        assert wait_until(running.socket_path.exists, 30), running.log
        yield running


@pytest.fixture
def machine(backend: Backend) -> Iterator[Machine]:
    """With host-visible memory: without, no set is offered."""
    frontend = {
        "wanted_features": GENERIC_FEATURES | Feature.VIRGL | Feature.CONTEXT_INIT,
        "wanted_protocol": QEMU_PROTOCOL | Protocol.SHMEM,
        "timeout": 30,
    }
    with Machine(backend.socket_path, frontend=frontend, guest={"control_size": 256}) as machine:
        machine.guest.do(commands_3d.ctx_create(CTX, context_init=gfxstream.VULKAN))
        yield machine
        assert machine.display.violations == []


def texture(machine: Machine, resource_id: int, backed: int = BYTES) -> Scattered:
    """A resource of the context's, and ``backed`` bytes of the guest's memory behind it."""
    resource = Resource3D(format=Format.B8G8R8X8_UNORM, width=WIDTH, height=HEIGHT)
    machine.guest.do(commands_3d.resource_create_3d(resource_id, resource))
    machine.guest.do(commands_3d.ctx_attach_resource(CTX, resource_id))
    entries = [(page, PAGE) for page in machine.memory.allocate_pages(-(-backed // PAGE))]
    if entries:
        machine.guest.do(commands.resource_attach_backing(resource_id, entries))
    return Scattered(machine.memory, entries)


def put(resource_id: int, box: Box = BOX) -> bytes:
    return commands_3d.transfer_3d(Command3D.TRANSFER_TO_HOST_3D, resource_id, box, ctx_id=CTX)


def opaque(count: int) -> bytes:
    """Random pixels: of X there is no more to be read back than that it is there."""
    pixels = bytearray(os.urandom(count * 4))
    pixels[3::4] = b"\xff" * count
    return bytes(pixels)


def test_its_three_sets_are_offered_behind_walls_that_are_whole(
    backend: Backend, machine: Machine
) -> None:
    found = [
        machine.guest.ask(commands.get_capset_info(index), commands.CAPSET_INFO_SIZE).data[:4]
        for index in range(3)
    ]
    assert [int.from_bytes(one, "little") for one in found] == [
        gfxstream.VULKAN,
        gfxstream.GLES,
        gfxstream.COMPOSER,
    ]
    show(machine)
    assert "not confined in full" not in backend.log


def test_a_texture_is_shown_as_the_guest_has_written_it(machine: Machine) -> None:
    memory = texture(machine, 5)
    pixels = opaque(WIDTH * HEIGHT)
    memory.write(0, pixels)
    machine.guest.do(put(5))
    machine.guest.do(commands.set_scanout(0, 5, WHOLE))
    machine.guest.do(commands.resource_flush(5, WHOLE))
    assert machine.display.wait_for_picture(0, pixels)


def test_an_image_becomes_a_texture_with_its_pixels(machine: Machine) -> None:
    """When a context that has it does something."""
    guest = machine.guest
    resource = guest.create_2d(WIDTH, HEIGHT)
    pixels = opaque(WIDTH * HEIGHT)
    guest.draw(resource, resource.whole, pixels)
    guest.show(resource)
    assert machine.display.wait_for_picture(0, pixels)
    guest.do(commands_3d.ctx_attach_resource(CTX, resource.resource_id))
    guest.do(commands_3d.submit_3d(CTX, gfxstream.nothing()))
    pixels = opaque(WIDTH * HEIGHT)
    guest.draw(resource, resource.whole, pixels)
    guest.transfer(resource)
    guest.flush(resource)
    assert machine.display.wait_for_picture(0, pixels)


def test_what_has_no_backing_is_read_too(backend: Backend, machine: Machine) -> None:
    """gfxstream would write to where none is."""
    before = devices(backend.process.pid)
    pixels = opaque(WIDTH * HEIGHT)
    texture(machine, 5).write(0, pixels)
    machine.guest.do(put(5))
    machine.guest.do(commands.resource_detach_backing(5))
    machine.guest.do(commands.set_scanout(0, 5, WHOLE))
    machine.guest.do(commands.resource_flush(5, WHOLE))
    assert machine.display.wait_for_picture(0, pixels)
    assert devices(backend.process.pid) == before


def test_a_backing_that_is_too_small_is_refused(backend: Backend, machine: Machine) -> None:
    """gfxstream would write beyond it."""
    before = devices(backend.process.pid)
    texture(machine, 5, BYTES - PAGE)
    assert not machine.guest.ask(put(5)).ok
    assert not machine.guest.ask(put(5, Box(0, 0, 0, 1, 1, 1))).ok
    machine.guest.do(commands.set_scanout(0, 5, WHOLE))
    assert not machine.guest.ask(commands.resource_flush(5, WHOLE)).ok
    assert devices(backend.process.pid) == before


def test_a_killed_device_process_is_followed_by_another(backend: Backend, machine: Machine) -> None:
    show(machine)
    [killed] = devices(backend.process.pid)
    os.kill(killed, signal.SIGKILL)
    assert wait_until(lambda: devices(backend.process.pid) not in ([], [killed]), 20)
    show(machine)
    machine.guest.do(commands_3d.ctx_create(2, context_init=gfxstream.VULKAN))
    machine.guest.do(commands_3d.submit_3d(2, gfxstream.nothing()))


# --- memory that the guest and the library share


def test_a_ring_is_mapped_and_served(backend: Backend, machine: Machine) -> None:
    """By a thread of the library's, until the context ends."""
    guest = machine.guest
    before = devices(backend.process.pid)
    with SharedRegion(machine.frontend) as region:
        for ctx_id in (2, 3, 4):
            guest.do(commands_3d.ctx_create(ctx_id, context_init=gfxstream.VULKAN))
            guest.do(commands.create_host_blob(RING, gfxstream.RING_SIZE, ctx_id))
            guest.do(commands_3d.ctx_attach_resource(ctx_id, RING))
            answer = guest.ask(commands.resource_map_blob(RING), commands.MAP_INFO_SIZE)
            assert answer.type == ResponseType.OK_MAP_INFO
            assert wait_until(lambda: 0 in region.windows)
            with mmap.mmap(region.windows[0].fd, gfxstream.RING_SIZE) as ring:
                guest.do(commands_3d.submit_3d(ctx_id, gfxstream.begin_ring(RING)))
                # What the library has written there its guest sees.
                assert wait_until(lambda: any(ring[:PAGE]))
                guest.do(commands_3d.submit_3d(ctx_id, gfxstream.ping_ring(RING)))
            guest.do(commands.resource_unmap_blob(RING))
            guest.do(commands_3d.ctx_detach_resource(ctx_id, RING))
            guest.do(commands.resource_unref(RING))
            guest.do(commands_3d.ctx_destroy(ctx_id))
    assert devices(backend.process.pid) == before
