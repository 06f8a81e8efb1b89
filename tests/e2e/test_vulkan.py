# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What Vulkan in a guest needs of both sides: Debian 13 as the host, and a guest with programs of Vulkan."""

from __future__ import annotations

import json

import pytest

from . import disk, host
from .conftest import Workshop
from .machine import Machine
from .screens import assert_console_is_readable, write_text

LAVAPIPE = "env VK_DRIVER_FILES=/usr/share/vulkan/icd.d/lvp_icd.json"


def test_the_host_has_what_vulkan_needs(only_vgpud: None) -> None:
    capabilities = json.loads(host.run(*host.vgpud_command()[1:], "--print-capabilities"))
    assert capabilities["renderers"]["virglrenderer"]["library"].startswith("libvirglrenderer.so.1")
    assert host.run("python3", "--version").startswith("Python 3.13")
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


def expected_sum(count: int, steps: int) -> str:
    """What `compute COUNT STEPS` has to print, computed without Vulkan."""
    total = 0
    for at in range(count):
        number = at
        for step in range(steps):
            number = ((number ^ number >> 15) * 2246822519 + at + step) & 0xFFFFFFFF
        total = (total * 31 + number) & 0xFFFFFFFFFFFFFFFF
    return f"{total:016x}"


def test_the_guest_s_own_vulkan_computes_what_the_processor_does(machine: Machine) -> None:
    count, steps = 10000, 20
    device, result = disk.run(machine, f"{LAVAPIPE} compute {count} {steps}").splitlines()
    assert device.startswith("llvmpipe")
    assert result == expected_sum(count, steps)


def test_a_program_may_have_many_pieces_of_memory(machine: Machine) -> None:
    assert disk.run(machine, f"{LAVAPIPE} compute --allocations 2000").endswith("2000 allocations")
