# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What Vulkan in a guest needs of both sides: Debian 13 as the host, and a guest with programs of Vulkan."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from ..daemon.running import is_running, machine_status
from ..driver.processes import settled
from . import disk, host, vulkan
from .conftest import Workshop
from .control import Screen
from .daemon import Daemon
from .machine import Machine
from .process import wait_until
from .screens import assert_console_is_readable, write_text
from .shell import GuestError
from .vulkan import servers, workers


def test_the_host_has_what_vulkan_needs(only_vgpud: None) -> None:
    capabilities = json.loads(host.run("python3", "-m", "vgpud", "--print-capabilities"))
    assert capabilities["renderers"]["virglrenderer"]["library"].startswith("libvirglrenderer.so.1")
    assert host.run("python3", "--version").startswith(("Python 3.13", "Python 3.14"))
    assert host.run("ls", "/usr/libexec/virgl_render_server")
    assert "llvmpipe" in host.run("vulkaninfo", "--summary")


@pytest.fixture(scope="module")
def machine(shared_workshop: Workshop) -> Machine:
    """Served by a vgpud on Debian 13."""
    daemon = shared_workshop.daemon(["--gpu-mode", "virglrenderer"], host.vgpud_command())
    machine = shared_workshop.ready_machine(daemon, disk.options())
    disk.mount(machine)
    return machine


def test_debian_13_serves_a_guest(only_vgpud: None, machine: Machine) -> None:
    assert "+virgl" in machine.guest.run("dmesg | grep features:")
    write_text(machine, "on Debian 13")
    assert_console_is_readable(machine)


def test_the_guest_s_own_vulkan_computes_what_the_processor_does(machine: Machine) -> None:
    vulkan.assert_computes(machine, vulkan.LAVAPIPE)


def test_a_program_may_have_many_pieces_of_memory(machine: Machine) -> None:
    said = disk.run(machine, f"env {vulkan.LAVAPIPE.chosen} compute --allocations 2000")
    assert said.endswith("2000 of 2000 allocations")


# --- Vulkan by Venus


@pytest.fixture(scope="module")
def daemon(shared_workshop: Workshop) -> Daemon:
    return shared_workshop.daemon(["--gpu-mode", "virglrenderer"], host.vgpud_command())


@pytest.fixture(scope="module")
def venus(shared_workshop: Workshop, daemon: Daemon) -> Machine:
    return vulkan.ready_machine(shared_workshop, daemon)


def test_the_guest_has_all_that_venus_needs(only_vgpud: None, venus: Machine) -> None:
    features = venus.guest.run("dmesg | grep features:")
    for feature in ("+virgl", "+resource_blob", "+host_visible", "+context_init"):
        assert feature in features


def test_a_guest_names_venus(only_vgpud: None, venus: Machine) -> None:
    summary = disk.run(venus, f"env {vulkan.VENUS.chosen} vulkaninfo --summary 2>/dev/null")
    assert "driverName         = venus" in summary
    assert "Virtio-GPU Venus (llvmpipe" in summary


def test_venus_computes_what_the_processor_does(only_vgpud: None, venus: Machine) -> None:
    vulkan.assert_computes(venus, vulkan.VENUS)


# --- who dies, who hangs


@contextmanager
def program(machine: Machine, daemon: Daemon, arguments: str) -> Iterator[int]:
    """A program of the guest's, while it works; its worker."""
    # The worker of a program that has just ended may be there still, and its context's number used again.
    before = workers(daemon).items()
    machine.guest.run(
        f"(env {vulkan.VENUS.chosen} chroot {disk.ROOT} compute {arguments} >/tmp/program 2>&1 &)"
    )
    new: dict[int, int] = {}

    def come() -> bool:
        new.update(workers(daemon).items() - before)
        return "Venus" in machine.guest.run("cat /tmp/program") and bool(new)

    try:
        wait_until(come, "a worker to be there", 30)
        yield new[max(new)]
    finally:
        machine.guest.run("killall -9 compute", check=False)
        wait_until(lambda: workers(daemon).items() <= before, "the worker to be gone", 10)


LONG = "100000 1000000000"


def assert_all_else_goes_on(machine: Machine, device: list[int], daemon: Daemon) -> None:
    assert daemon.device_processes() == device
    vulkan.assert_computes(machine, vulkan.VENUS)
    screen = Screen(machine, daemon)
    write_text(screen, f"after {time.monotonic():.0f}")
    assert_console_is_readable(screen)


def test_a_killed_worker_costs_its_program_alone(
    only_vgpud: None, venus: Machine, daemon: Daemon
) -> None:
    device = daemon.device_processes()
    with program(venus, daemon, LONG) as worker:
        os.kill(worker, signal.SIGKILL)
        assert_all_else_goes_on(venus, device, daemon)


def test_a_worker_that_hangs_costs_its_program_alone(
    only_vgpud: None, venus: Machine, daemon: Daemon
) -> None:
    """Mesa gives up a device that does not answer; with the end of the program goes the worker."""
    device = daemon.device_processes()
    with program(venus, daemon, "--allocations 2000") as worker:
        os.kill(worker, signal.SIGSTOP)
        assert_all_else_goes_on(venus, device, daemon)
    assert not is_running(worker)


def test_a_killed_render_server_is_followed_by_another(
    only_vgpud: None, venus: Machine, daemon: Daemon
) -> None:
    device = daemon.device_processes()
    with program(venus, daemon, LONG) as worker:
        (server,) = servers(daemon)
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: not is_running(worker), "the worker to be gone", 5)
        wait_until(lambda: daemon.device_processes() not in (device, []), "another device", 10)
        assert "the render server ended with SIGKILL" in daemon.process.log.text()
        assert_all_else_goes_on(venus, daemon.device_processes(), daemon)


def test_a_killed_device_process_is_followed_by_another(
    only_vgpud: None, venus: Machine, daemon: Daemon
) -> None:
    device = daemon.device_processes()
    with program(venus, daemon, LONG) as worker:
        os.kill(device[0], signal.SIGKILL)
        wait_until(lambda: not is_running(worker), "the worker to be gone", 5)
        wait_until(lambda: daemon.device_processes() not in (device, []), "another device", 10)
        assert_all_else_goes_on(venus, daemon.device_processes(), daemon)


def test_a_reboot_while_something_is_computed(
    only_vgpud: None, venus: Machine, daemon: Daemon
) -> None:
    device = daemon.device_processes()
    with suppress(GuestError, TimeoutError), program(venus, daemon, LONG):
        # QEMU 11.1 crashes at a SHMEM_MAP that is on its way to it when the device stops (docs/blobs.md).
        settled(
            lambda: int(machine_status(daemon.socket_path)["limits"]["memory_slots"]["used"]), 3
        )
        venus.guest.send("reboot -f")
        venus.wait_ready()
    disk.mount(venus)
    assert_all_else_goes_on(venus, device, daemon)
