# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""`--gpu-mode gfxstream` under real guests: 2D by whatever librutabaga_gfx_ffi there is, Vulkan where there is gfxstream."""

from __future__ import annotations

import re

import pytest

from ..driver import gfxstream, rutabaga
from . import disk, host, vulkan
from .conftest import Workshop
from .daemon import Daemon, vgpud_command
from .machine import VHOST_USER, VHOST_USER_VGA, Machine, MachineOptions
from .screens import (
    assert_console_is_readable,
    assert_shows,
    connectors,
    modetest_arguments,
    reference,
    shown,
    write_text,
)
from .test_variants import kill_device_process

pytestmark = pytest.mark.usefixtures("only_vgpud")

not_named = pytest.mark.skipif(gfxstream.folder() is None, reason=gfxstream.NOT_NAMED)
not_built = pytest.mark.skipif(rutabaga.folder() is None, reason=rutabaga.NOT_BUILT)


DEVICES = (VHOST_USER, VHOST_USER_VGA)


def with_library(command: list[str], folder: object) -> list[str]:
    return ["env", f"LD_LIBRARY_PATH={folder}", *command]


def with_gfxstream() -> list[str]:
    """On Debian 13, for which it is built."""
    return with_library(host.vgpud_command(), gfxstream.folder())


# --- 2D, with the two devices that QEMU has for it


def assert_draws(machine: Machine, reference_machine: Machine, daemon: Daemon) -> None:
    """Before and after the death of its device process."""
    assert "librutabaga_gfx_ffi" in daemon.process.log.text()
    write_text(machine, "by gfxstream's 2D")
    assert_console_is_readable(machine)
    expected = reference(reference_machine, (1024, 768), "smpte")
    with shown(machine, modetest_arguments({connectors(machine)[0]: (1024, 768)}, "smpte")):
        assert_shows(machine, expected)
        kill_device_process(daemon)
        assert_shows(machine, expected)
    write_text(machine, "by gfxstream's 2D, still")
    assert_console_is_readable(machine)


@not_built
@pytest.mark.parametrize("device", DEVICES)
def test_a_guest_draws_in_2d(workshop: Workshop, reference_machine: Machine, device: str) -> None:
    daemon = workshop.daemon(
        ["--gpu-mode", "gfxstream", "--capset", "cross-domain"],
        with_library(vgpud_command(), rutabaga.folder()),
    )
    machine = workshop.ready_machine(daemon, MachineOptions(device=device))
    assert_draws(machine, reference_machine, daemon)


@not_named
@pytest.mark.parametrize("device", DEVICES)
def test_a_guest_draws_in_2d_where_gfxstream_was_started(
    workshop: Workshop, reference_machine: Machine, device: str
) -> None:
    daemon = workshop.daemon(["--gpu-mode", "gfxstream"], with_gfxstream())
    machine = workshop.ready_machine(daemon, MachineOptions(device=device))
    assert_draws(machine, reference_machine, daemon)


# --- Vulkan, with the device that has host-visible memory


@pytest.fixture(scope="module")
def machine(shared_workshop: Workshop) -> Machine:
    daemon = shared_workshop.daemon(["--gpu-mode", "gfxstream"], with_gfxstream())
    return vulkan.ready_machine(shared_workshop, daemon)


def device_of(summary: str) -> dict[str, str]:
    """What `vulkaninfo --summary` says of the one that there is."""
    return dict(re.findall(r"^\s+(device\w+|driver\w+) += (.*)$", summary, re.MULTILINE))


@not_named
def test_a_guest_names_the_host_s_driver(machine: Machine) -> None:
    """As a virtual GPU, which is how gfxstream's driver differs from the guest's own."""
    there = device_of(
        disk.run(machine, f"env {vulkan.GFXSTREAM.chosen} vulkaninfo --summary 2>/dev/null")
    )
    here = device_of(host.run("vulkaninfo", "--summary"))
    assert here["deviceType"] == "PHYSICAL_DEVICE_TYPE_CPU"
    assert there["deviceType"] == "PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU"
    for name in ("deviceName", "driverName", "driverInfo"):
        assert there[name] == here[name]


@not_named
def test_gfxstream_computes_what_the_processor_does(machine: Machine) -> None:
    vulkan.assert_computes(machine, vulkan.GFXSTREAM)


@not_named
def test_a_program_may_have_many_pieces_of_memory(machine: Machine) -> None:
    """Until QEMU maps no more: then the program is told."""
    said = disk.run(machine, f"env {vulkan.GFXSTREAM.chosen} compute --allocations 2000 2>&1", 120)
    (count,) = re.findall(r"^(\d+) of 2000 allocations$", said, re.MULTILINE)
    assert int(count) > 500
    vulkan.assert_computes(machine, vulkan.GFXSTREAM)
