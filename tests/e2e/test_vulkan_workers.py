# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Who executes a guest's Vulkan on Debian 13, asked by a driver of the tests' own: when he is there, what he draws, and what follows
when he hangs or dies.

There is no QEMU, whose guest could not be stopped in the middle of a command.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..daemon.running import is_running, machine_status
from ..driver import commands, commands_3d
from ..driver.backend import Machine
from ..driver.commands import Format, Rectangle, ResponseType
from ..driver.frontend import GENERIC_FEATURES, QEMU_PROTOCOL, Feature, Protocol
from ..driver.memory import MiB
from ..driver.shared_region import SharedRegion
from . import host
from .conftest import Workshop
from .control import vgpuctl
from .daemon import Daemon
from .process import wait_until
from .vulkan import servers, workers

VENUS = 4
TIMEOUT = 1.0  # seconds: device_process.vulkan_timeout
RING = 0  # the blob_id of memory that is a context's from its beginning
WIDTH, HEIGHT = 320, 200
SIZE = WIDTH * HEIGHT * 4
WHOLE = Rectangle(0, 0, WIDTH, HEIGHT)
PLANE = commands.Plane(WIDTH, HEIGHT, Format.B8G8R8X8_UNORM, WIDTH * 4)
OK = ResponseType.OK_NODATA


@pytest.fixture(scope="module")
def daemon(shared_workshop: Workshop) -> Daemon:
    configuration = shared_workshop.folder / "vgpud.toml"
    configuration.write_text(
        f"[device_process]\nrestarts = 1000\nrestart_delay = 0.0\nvulkan_timeout = {TIMEOUT}\n"
    )
    options = ["--gpu-mode", "virglrenderer", "--config", str(configuration)]
    return shared_workshop.daemon(options, host.vgpud_command())


def machine_of(daemon: Daemon, protocol: Protocol) -> Machine:
    frontend = {
        "wanted_features": GENERIC_FEATURES | Feature.VIRGL | Feature.CONTEXT_INIT,
        "wanted_protocol": protocol,
        "timeout": 30.0,
    }
    return Machine(daemon.socket_path, frontend=frontend, guest={"timeout": 30.0})


@pytest.fixture
def machine(only_vgpud: None, daemon: Daemon) -> Iterator[Machine]:
    """Its VMM has a shared memory region."""
    with machine_of(daemon, QEMU_PROTOCOL | Protocol.SHMEM) as made:
        yield made
        assert made.display.violations == []
    wait_until(lambda: not servers(daemon), "nobody to be left", 5)


@pytest.fixture
def region(machine: Machine) -> Iterator[SharedRegion]:
    with SharedRegion(machine.frontend) as made:
        yield made


def ask(machine: Machine, request: bytes) -> int:
    return machine.guest.ask(request).type


def context(machine: Machine, daemon: Daemon, ctx_id: int, name: bytes = b"vkcube") -> int:
    """One of Venus', and its worker."""
    assert ask(machine, commands_3d.ctx_create(ctx_id, name, context_init=VENUS)) == OK
    wait_until(lambda: ctx_id in workers(daemon), "a worker", 5)
    return workers(daemon)[ctx_id]


# --- when there is somebody


def test_who_has_no_region_has_no_process_for_it(only_vgpud: None, daemon: Daemon) -> None:
    with machine_of(daemon, QEMU_PROTOCOL) as machine:
        answer = ask(machine, commands_3d.ctx_create(1, context_init=VENUS))
        assert answer == ResponseType.ERR_INVALID_PARAMETER
        # OpenGL is drawn without.
        assert ask(machine, commands_3d.ctx_create(1)) == OK
        assert ask(machine, commands_3d.submit_3d(1, commands_3d.NOP)) == OK
        assert servers(daemon) == []
        vulkan = machine_status(daemon.socket_path)["vulkan"]
        assert (vulkan["render_server"], vulkan["workers"]) == (None, [])
        # Nor has the next device process.
        [device] = daemon.device_processes()
        os.kill(device, signal.SIGKILL)
        wait_until(lambda: daemon.device_processes() not in ([], [device]), "another", 10)
        assert machine.guest.display_info().ok
        assert servers(daemon) == []


def test_who_asks_for_the_region_has_a_server_and_a_worker_for_each_context(
    machine: Machine, daemon: Daemon
) -> None:
    [server] = servers(daemon)
    vulkan = machine_status(daemon.socket_path)["vulkan"]
    assert vulkan["render_server"]["pid"] == server
    wait_until(
        lambda: not machine_status(daemon.socket_path)["vulkan"]["workers"],
        "the trial to be over",
        5,
    )
    found = {context(machine, daemon, ctx_id) for ctx_id in (1, 2, 3)}
    report = machine_status(daemon.socket_path)
    assert {one["pid"] for one in report["vulkan"]["workers"]} == found
    memory = report["limits"]["vulkan_memory"]
    assert 0 < memory["used"] < memory["limit"] == 4 << 30
    assert [one["capset_id"] for one in report["contexts"]] == [VENUS] * 3
    assert ask(machine, commands_3d.ctx_destroy(2)) == OK
    wait_until(lambda: workers(daemon).keys() == {1, 3}, "a worker to go", 5)
    assert len(machine_status(daemon.socket_path)["vulkan"]["workers"]) == 2
    shown = vgpuctl(daemon, "top", "--interval=0.1", "--count=1").stdout
    assert f"; render server {server}, 2 workers (" in shown


# --- what he has drawn


@dataclass
class Screen:
    """Memory of a worker's that a guest draws into by the processor, and shows."""

    machine: Machine
    mapped: mmap.mmap
    number: int

    def draw(self, seed: int) -> bytes:
        pixels = random.Random(seed).randbytes(SIZE)
        self.mapped[:SIZE] = pixels
        return pixels

    def show(self) -> int:
        return ask(self.machine, commands.set_scanout_blob(0, self.number, WHOLE, PLANE))

    def flush(self) -> int:
        return ask(self.machine, commands.resource_flush(self.number, WHOLE))


def screen(machine: Machine, region: SharedRegion, number: int = 1, ctx_id: int = 1) -> Screen:
    place = number * MiB
    machine.guest.do(commands.create_host_blob(number, SIZE, ctx_id, RING))
    machine.guest.do(commands.resource_map_blob(number, place), commands.MAP_INFO_SIZE)
    wait_until(lambda: place in region.windows, "the window", 5)
    window = region.windows[place]
    mapped = mmap.mmap(window.fd, SIZE, offset=window.mmap_offset)
    return Screen(machine, mapped, number)


def test_what_is_drawn_in_a_worker_s_memory_is_shown(
    machine: Machine, region: SharedRegion, daemon: Daemon
) -> None:
    context(machine, daemon, 1)
    pages = [screen(machine, region, number) for number in (1, 2)]
    for turn in range(6):
        page = pages[turn % 2]
        pixels = page.draw(turn)
        assert page.show() == OK
        assert page.flush() == OK
        assert machine.display.wait_for_picture(0, pixels)


# --- who hangs, who dies


def test_a_worker_that_hangs_is_killed_and_nobody_else(
    machine: Machine, region: SharedRegion, daemon: Daemon
) -> None:
    """Within the configured time; his memory stays on the screen."""
    hanging = context(machine, daemon, 1, b"hanging")
    other = context(machine, daemon, 2, b"other")
    [device], [server] = daemon.device_processes(), servers(daemon)
    shown = screen(machine, region)
    pixels = shown.draw(1)
    assert (shown.show(), shown.flush()) == (OK, OK)
    assert machine.display.wait_for_picture(0, pixels)
    os.kill(hanging, signal.SIGSTOP)
    begun = time.monotonic()
    # The library waits for the worker's answer for ever.
    assert ask(machine, commands.create_host_blob(50, SIZE, 1, RING)) != OK
    waited = time.monotonic() - begun
    assert TIMEOUT <= waited < 2 * TIMEOUT
    # The library hears of its end, and we do, before its process has ended.
    wait_until(lambda: not is_running(hanging), "its end", 5)
    line = "context 1 (hanging) does not answer within 1 s: its process is killed"
    wait_until(lambda: line in daemon.process.log.text(), "what the log says", 5)
    assert daemon.device_processes() == [device]
    assert (servers(daemon), workers(daemon)) == ([server], {2: other})
    wait_until(
        lambda: machine_status(daemon.socket_path)["vulkan"]["workers_killed"] == 1, "its count", 5
    )
    vulkan = machine_status(daemon.socket_path)["vulkan"]
    assert vulkan["servers_ended"] == 0
    assert vulkan["last_reason"] == "context 1 (hanging) did not answer within 1 s"
    # All else goes on: the other context, new ones, and what is shown.
    assert ask(machine, commands.create_host_blob(51, SIZE, 2, RING)) == OK
    context(machine, daemon, 3)
    pixels = shown.draw(2)
    assert shown.flush() == OK
    assert machine.display.wait_for_picture(0, pixels)
    assert ask(machine, commands_3d.ctx_destroy(1)) == OK


def test_a_server_that_hangs_is_killed_before_the_device_process(
    machine: Machine, daemon: Daemon
) -> None:
    context(machine, daemon, 1)
    [device], [server] = daemon.device_processes(), servers(daemon)
    os.kill(server, signal.SIGSTOP)
    begun = time.monotonic()
    answer = ask(machine, commands_3d.ctx_create(2, context_init=VENUS))
    assert TIMEOUT <= time.monotonic() - begun < 4 * TIMEOUT
    assert answer != OK
    wait_until(lambda: not is_running(server), "its end", 5)
    line = "waits for the render server: the server is killed"
    wait_until(lambda: line in daemon.process.log.text(), "what the log says", 5)
    wait_until(lambda: daemon.device_processes() not in ([], [device]), "another device", 10)
    wait_until(lambda: servers(daemon) not in ([], [server]), "another server", 10)
    vulkan = machine_status(daemon.socket_path)["vulkan"]
    assert (vulkan["workers_killed"], vulkan["servers_ended"]) == (0, 1)
    assert vulkan["last_reason"] == "command 0x0200 waited for the render server"
    # New programs draw.
    context(machine, daemon, 5)


def test_a_killed_server_leaves_the_screen_as_it_was(
    machine: Machine, region: SharedRegion, daemon: Daemon, tmp_path: Path
) -> None:
    context(machine, daemon, 1)
    [device], [server] = daemon.device_processes(), servers(daemon)
    shown = screen(machine, region)
    pixels = shown.draw(1)
    assert (shown.show(), shown.flush()) == (OK, OK)
    assert machine.display.wait_for_picture(0, pixels)
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: daemon.device_processes() not in ([], [device]), "another device", 10)
    assert shown.flush() == ResponseType.ERR_UNSPEC
    reason = "the render server ended with SIGKILL"
    wait_until(
        lambda: machine_status(daemon.socket_path)["vulkan"]["last_reason"] == reason,
        "the reason",
        5,
    )
    # A display that comes now sees what was flushed last.
    machine.stop()
    machine.cont()
    assert machine.display.wait_for_picture(0, pixels)
    assert ask(machine, commands.resource_unmap_blob(1)) == OK
    assert ask(machine, commands.resource_unref(1)) == OK
    context(machine, daemon, 1)
    shown = screen(machine, region, 2)
    pixels = shown.draw(2)
    assert (shown.show(), shown.flush()) == (OK, OK)
    assert machine.display.wait_for_picture(0, pixels)
