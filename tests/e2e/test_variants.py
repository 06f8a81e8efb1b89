# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Other machines, other QEMUs: each boots, and shows text and a pattern."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import pytest

from . import parts
from .conftest import Workshop
from .daemon import Daemon, chosen_backend
from .machine import VHOST_USER_VGA, Machine, MachineOptions
from .process import wait_until
from .screens import (
    assert_console_is_readable,
    assert_shows,
    connectors,
    modetest_arguments,
    reference,
    shown,
    write_text,
)

VGA_TEXT = (720, 400)


@dataclass(frozen=True)
class Variant:
    options: MachineOptions
    newest_qemu: bool = False
    peer_can: bool = True


VARIANTS = {
    "packed rings": Variant(MachineOptions(device_options=["packed=on"]), peer_can=False),
    "no event index": Variant(MachineOptions(device_options=["event_idx=off"])),
    "no indirect descriptors": Variant(MachineOptions(device_options=["indirect_desc=off"])),
    "5 GiB in two regions": Variant(MachineOptions(memory="5G")),
    "a larger first screen": Variant(MachineOptions(device_options=["xres=1920", "yres=1080"])),
    "two outputs": Variant(MachineOptions(outputs=2)),
    "sixteen outputs": Variant(MachineOptions(outputs=16), peer_can=False),
    "QEMU 11.1": Variant(MachineOptions(), newest_qemu=True, peer_can=False),
    "QEMU 11.1, packed rings": Variant(
        MachineOptions(device_options=["packed=on"], outputs=2), newest_qemu=True, peer_can=False
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_machine_shows_text_and_a_pattern_and_outlives_its_device_process_with(
    workshop: Workshop, reference_machine: Machine, name: str
) -> None:
    variant = VARIANTS[name]
    if chosen_backend() == "c-peer" and not variant.peer_can:
        pytest.skip("the C backend cannot do this")
    if variant.newest_qemu:
        variant.options.qemu = parts.newest_qemu()
    machine = workshop.ready_machine(options=variant.options)
    write_text(machine, name)
    assert_console_is_readable(machine)
    expected = reference(reference_machine, (1024, 768), "smpte")
    with shown(machine, modetest_arguments({connectors(machine)[0]: (1024, 768)}, "smpte")):
        assert_shows(machine, expected)
        if chosen_backend() == "vgpud":
            kill_device_process(workshop.daemons[-1])
            assert_shows(machine, expected)
    write_text(machine, f"{name}, still")
    assert_console_is_readable(machine)


def kill_device_process(daemon: Daemon) -> None:
    """Returns when there is another."""
    (killed,) = daemon.device_processes()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: daemon.device_processes() not in ([], [killed]), "another device process")


def see_firmware(machine: Machine) -> None:
    firmware = machine.wait_picture(
        lambda picture: (picture.width, picture.height) == VGA_TEXT and len(picture.colours()) > 1,
        "the firmware's text",
    )
    machine.keep(firmware, "firmware")


@pytest.mark.parametrize("newest_qemu", [False, True], ids=["QEMU", "QEMU 11.1"])
def test_a_vga_shows_the_firmware_then_linux(
    workshop: Workshop, reference_machine: Machine, newest_qemu: bool
) -> None:
    if chosen_backend() == "c-peer" and newest_qemu:
        pytest.skip("the C backend cannot do this")
    options = MachineOptions(device=VHOST_USER_VGA)
    if newest_qemu:
        options.qemu = parts.newest_qemu()
    machine = workshop.ready_machine(options=options, as_it_boots=see_firmware)
    write_text(machine, "Linux on a VGA")
    assert_console_is_readable(machine)
    expected = reference(reference_machine, (1024, 768), "smpte")
    with shown(machine, modetest_arguments({connectors(machine)[0]: (1024, 768)}, "smpte")):
        assert_shows(machine, expected)


@pytest.mark.usefixtures("not_c_peer")
def test_memory_is_added_and_removed_under_a_running_screen(
    workshop: Workshop, reference_machine: Machine
) -> None:
    """Regions come (ADD_MEM_REG) and go (REM_MEM_REG) while flips use the queues."""
    # Memory that the guest uses cannot be relied on to go again.
    options = MachineOptions(
        memory="1G,slots=2,maxmem=4G", kernel_options="memhp_default_state=offline"
    )
    machine = workshop.ready_machine(options=options)
    before = memory_of(machine)
    pictures = [
        reference(reference_machine, (1024, 768), pattern) for pattern in ("smpte", "plain")
    ]
    with shown(machine, f"-M virtio_gpu -v -s {connectors(machine)[0]}:1024x768 -F smpte"):
        machine.qmp.execute(
            "object-add",
            **{"qom-type": "memory-backend-memfd", "id": "more", "size": 256 << 20, "share": True},
        )
        machine.qmp.execute("device_add", driver="pc-dimm", id="dimm", memdev="more")
        machine.guest.run(
            "until [ -e /sys/devices/system/memory/memory32 ]; do sleep 0.1; done", 10
        )
        for picture in pictures:
            machine.wait_picture(lambda shown: shown == picture, "flipped")  # noqa: B023
        machine.qmp.execute("device_del", id="dimm")
        machine.qmp.wait_event("DEVICE_DELETED", 20)
        for picture in pictures:
            machine.wait_picture(lambda shown: shown == picture, "flipped")  # noqa: B023
    assert memory_of(machine) == before


def memory_of(machine: Machine) -> int:
    """KiB, as the guest sees it."""
    return int(machine.guest.run("sed -n 's/^MemTotal: *//p' /proc/meminfo").split()[0])
