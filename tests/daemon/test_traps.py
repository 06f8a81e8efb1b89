# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What real front-ends do that has ended other back-ends."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ..driver import commands
from ..driver.backend import Backend, Machine
from ..driver.display import DisplayServer
from ..driver.frontend import QEMU_FEATURES, Feature, Frontend, Protocol, Request
from ..driver.gpu import Guest
from ..driver.memory import GuestMemory, MiB
from .running import daemon, devices, wait_until


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with daemon() as running:
        yield running


def draw(machine: Machine, width: int = 64, height: int = 48) -> bytes:
    """Shows a new picture; returns its pixels."""
    guest = machine.guest
    resource = guest.create_2d(width, height)
    pixels = os.urandom(width * height * 4)
    guest.draw(resource, resource.whole, pixels)
    guest.show(resource)
    return pixels


# --- 1


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 16), (0, 20), (0, 24), (0, 256), (255, 1), (8, 4), (100, 156), (3, 0)]
)
def test_the_configuration_space_is_answered_at_any_offset_and_size(
    backend: Backend, offset: int, size: int
) -> None:
    with Machine(backend.socket_path) as machine:
        fields = b"".join(number.to_bytes(4, "little") for number in (0, 0, 1, 0, 0))
        space = fields.ljust(256, b"\0")
        assert machine.frontend.get_config(size, offset) == space[offset : offset + size]


# --- 2


def test_a_new_display_socket_at_each_start_gets_the_whole_picture(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        pixels = draw(machine)
        assert machine.display.wait_for_picture(0, pixels)
        for _ in range(20):
            machine.stop()
            machine.cont()
            assert machine.display.wait_for_picture(0, pixels)
            assert machine.display.violations == []


def test_a_display_socket_that_replaces_one_in_use_gets_the_picture(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        pixels = draw(machine)
        assert machine.display.wait_for_picture(0, pixels)
        second = DisplayServer()
        machine.frontend.set_gpu_socket(second.theirs)
        assert second.wait_for_picture(0, pixels)
        assert machine.display.wait_for(lambda: machine.display.closed)
        pixels = draw(machine)
        assert second.wait_for_picture(0, pixels)
        second.close()


# --- 3


def test_features_that_were_never_offered_are_ignored(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        odd = Feature(1 << 40 | 1 << 63 | 1 << 33 | 1 << 5)
        machine.stop()
        machine.frontend.wanted_features |= odd
        machine.frontend.offered_features |= odd
        machine.cont()
        assert machine.display.wait_for_picture(0, draw(machine))


def test_a_packed_ring_is_served_though_the_transport_alone_has_said_so(backend: Backend) -> None:
    with Machine(backend.socket_path, guest={"packed": True}) as machine:
        assert machine.display.wait_for_picture(0, draw(machine))


# --- 4


def test_a_kick_before_enable_is_not_lost(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        machine.frontend.set_vring_enable(0, False)
        pending = machine.guest.submit(commands.resource_unref(9))
        assert not machine.guest.control.wait_for_call(0.1)
        assert machine.guest.control.finished(pending) is None
        # The only kick is long gone.
        machine.frontend.set_vring_enable(0, True)
        assert machine.guest.wait(pending).type == commands.ResponseType.ERR_INVALID_RESOURCE_ID


def test_what_is_available_when_a_ring_is_started_needs_no_kick(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        machine.stop()
        pending = machine.guest.control.submit(commands.resource_unref(9), kick=False)
        machine.cont()
        assert machine.guest.wait(pending).type == commands.ResponseType.ERR_INVALID_RESOURCE_ID


def test_a_kick_that_is_readable_at_once_does_no_harm(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        machine.stop()
        for queue in machine.guest.queues:
            os.eventfd_write(queue.kick_fd, 1)
        machine.cont()
        assert machine.display.wait_for_picture(0, draw(machine))


# --- 5


def test_no_update_comes_before_its_scanout_and_no_scanout_is_flat(backend: Backend) -> None:
    with Machine(backend.socket_path, outputs=[(64, 48), (64, 48)]) as machine:
        guest, violations = machine.guest, []
        for side in (1, 8, 200):
            resource = guest.create_2d(side, side)
            for scanout_id in (1, 0):
                guest.set_scanout(scanout_id, resource)
                guest.flush(resource)
            machine.stop()
            violations += machine.display.violations
            machine.cont()
            guest.flush(resource)
            guest.unref(resource)
        assert violations + machine.display.violations == []


# --- 6


def test_a_device_process_that_dies_costs_the_frontend_nothing(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        pixels = draw(machine)
        assert machine.display.wait_for_picture(0, pixels)
        [process_id] = devices(backend.process.pid)
        os.kill(process_id, signal.SIGKILL)
        assert wait_until(lambda: devices(backend.process.pid) not in ([], [process_id]))
        assert machine.guest.display_info().ok
        # Drawn again, for a display that may have missed some of it.
        assert machine.display.wait_for(lambda: len(machine.display.updates) > 1)
        assert machine.display.wait_for_picture(0, pixels)
        assert not machine.frontend.disconnected(0)


# --- 7


def test_what_is_not_understood_is_not_offered(backend: Backend) -> None:
    frontend = Frontend.connect(backend.socket_path)
    offered = frontend.ask_u64(Request.GET_PROTOCOL_FEATURES)
    gpa_addresses, shmem, inband, xen, shared_object = (1 << bit for bit in (21, 22, 14, 17, 18))
    assert not offered & (gpa_addresses | shmem | inband | xen | shared_object)
    assert offered & Protocol.CONFIG
    assert frontend.ask_u64(Request.GET_FEATURES) & Feature.PROTOCOL_FEATURES
    frontend.close()


def test_addresses_are_the_frontend_s_own_though_bit_21_was_acknowledged(backend: Backend) -> None:
    """A front-end may acknowledge only what was offered; one that does more changes nothing."""
    wanted = {"wanted_protocol": Protocol((1 << 24) - 1 & ~(1 << 15))}
    with Machine(backend.socket_path, frontend=wanted) as machine:
        assert machine.display.wait_for_picture(0, draw(machine))


# --- 8


def test_nothing_is_asked_of_the_frontend_for_a_uuid(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        resource = machine.guest.create_2d(8, 8)
        request = commands.resource_assign_uuid(resource.resource_id)
        assert machine.guest.do(request, commands.RESOURCE_UUID_SIZE).ok
        assert machine.frontend.backend_channel is not None
        machine.frontend.backend_channel.settimeout(0.1)
        with pytest.raises(TimeoutError):
            machine.frontend.backend_request()


# --- what else the table of requests has


def test_a_frontend_that_speaks_no_protocol_features_has_its_rings_enabled(
    backend: Backend,
) -> None:
    with closing(GuestMemory(16 * MiB)) as memory:
        guest = Guest(memory)
        frontend = Frontend.connect(backend.socket_path, wanted_protocol=Protocol(0))
        frontend.tell(Request.SET_OWNER)
        frontend.set_features(QEMU_FEATURES & ~(Feature.PROTOCOL_FEATURES | Feature.EVENT_IDX))
        frontend.share_memory(memory)
        for index, queue in enumerate(guest.queues):
            frontend.set_vring_fd(Request.SET_VRING_CALL, index, queue.call_fd)
            frontend.set_up_vring(memory, index, queue)
        assert guest.ask(commands.resource_unref(9)).type
        frontend.close()
        guest.close()


def test_without_a_display_socket_there_are_the_configured_displays(tmp_path: Path) -> None:
    configuration = tmp_path / "vgpud.toml"
    sizes = [(800, 600), (640, 480)]
    tables = [f"[[displays]]\nwidth = {width}\nheight = {height}\n" for width, height in sizes]
    configuration.write_text("\n".join(tables))
    with (
        daemon("--headless", "--config", str(configuration)) as headless,
        Machine(headless.socket_path, headless=True) as machine,
    ):
        assert machine.frontend.get_config(4, 8) == (2).to_bytes(4, "little")
        info = machine.guest.display_info()
        rectangles = [info.data[start : start + 24] for start in (0, 24, 48)]
        found = [(one[8:12], one[12:16], one[16:20]) for one in rectangles]
        expected = [(800, 600, 1), (640, 480, 1), (0, 0, 0)]
        assert found == [tuple(n.to_bytes(4, "little") for n in one) for one in expected]
        edid = machine.guest.do(commands.get_edid(1), commands.EDID_SIZE)
        assert edid.data[8:16] == bytes.fromhex("00ffffffffffff00")
        draw(machine)
