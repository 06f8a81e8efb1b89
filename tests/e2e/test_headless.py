# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Guests without any display socket: their displays are those of the configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from . import parts
from .conftest import Workshop
from .daemon import Daemon
from .machine import GENERIC, GENERIC_OPTIONS, Machine, MachineOptions
from .picture import Picture
from .process import wait_until
from .screens import connectors, modetest_arguments, preferred_modes, reference, shown

SIZES = [(1024, 768), (800, 600)]

pytestmark = pytest.mark.usefixtures("only_vgpud")


def configured(folder: Path) -> Path:
    file = folder / "vgpud.toml"
    file.write_text("".join(f"[[displays]]\nwidth = {x}\nheight = {y}\n" for x, y in SIZES))
    return file


def screenshot(daemon: Daemon, scanout: int, file: Path) -> Picture | None:
    """What the daemon has on a scanout; None before there is anything."""
    command = [sys.executable, "-m", "vgpud.ctl", "--socket-path", str(daemon.socket_path)]
    command += ["screenshot", "--scanout", str(scanout), str(file)]
    if subprocess.run(command, check=False, timeout=20, stderr=subprocess.DEVNULL).returncode:
        return None
    with Image.open(file) as image:
        return Picture(*image.size, image.convert("RGB").tobytes())


@pytest.mark.parametrize("generic", [False, True], ids=["--headless", "a generic device"])
def test_the_guest_draws_on_the_displays_of_the_configuration(
    workshop: Workshop, reference_machine: Machine, tmp_path: Path, generic: bool
) -> None:
    options = ["--config", str(configured(tmp_path))]
    daemon = workshop.daemon(options if generic else [*options, "--headless"])
    machine_options = MachineOptions(outputs=2)
    if generic:
        machine_options = MachineOptions(
            device=GENERIC, device_options=GENERIC_OPTIONS, qemu=parts.newest_qemu()
        )
    machine = workshop.ready_machine(daemon, machine_options)
    assert list(preferred_modes(machine).values()) == SIZES
    expected = reference(reference_machine, SIZES[0], "smpte")
    both = connectors(machine)
    with shown(machine, modetest_arguments({both[0]: SIZES[0]}, "smpte")):
        wait_until(
            lambda: screenshot(daemon, 0, tmp_path / "screen.png") == expected, "the pattern"
        )


def test_a_guest_goes_on_when_a_reboot_finds_no_display(workshop: Workshop, tmp_path: Path) -> None:
    daemon = workshop.daemon(["--headless", "--config", str(configured(tmp_path))])
    machine = workshop.ready_machine(daemon)
    machine.guest.send("reboot -f")
    machine.wait_ready()
    assert next(iter(preferred_modes(machine).values())) == SIZES[0]
