# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Guests without any display socket: their displays are those of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..daemon.running import machine_status
from . import parts
from .conftest import Workshop
from .control import screenshot, vgpuctl
from .daemon import Daemon
from .machine import GENERIC, GENERIC_OPTIONS, Machine, MachineOptions
from .process import wait_until
from .screens import (
    connectors,
    modetest_arguments,
    preferred_modes,
    reference,
    shown,
    wait_for_mode,
)

SIZES = [(1024, 768), (800, 600)]

pytestmark = pytest.mark.usefixtures("only_vgpud")


def configured(folder: Path) -> Path:
    file = folder / "vgpud.toml"
    file.write_text("".join(f"[[displays]]\nwidth = {x}\nheight = {y}\n" for x, y in SIZES))
    return file


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
        # The generic device passes RESOURCE_BLOB on, and then Linux' framebuffers are guest blobs.
        assert shown_kind(daemon) == ("blob" if generic else "2d")
    sign = "+" if generic else "-"
    assert f"{sign}resource_blob" in machine.guest.run("dmesg")


def shown_kind(daemon: Daemon) -> str:
    """Of the resource that the first scanout shows."""
    machine = machine_status(daemon.socket_path)
    kinds = {one["resource_id"]: one["kind"] for one in machine["resources"]}
    return str(kinds[machine["scanouts"][0]["resource_id"]])


def generic_machine(workshop: Workshop, daemon: Daemon) -> Machine:
    """Whose front-end passes on that the configuration space has changed: vhost-user-gpu's does not."""
    options = MachineOptions(
        device=GENERIC, device_options=GENERIC_OPTIONS, qemu=parts.newest_qemu()
    )
    return workshop.ready_machine(daemon, options)


def connector(machine: Machine, number: int) -> tuple[str, str]:
    """What the guest's kernel says of an output: its status, and the first of its modes."""
    folder = f"/sys/class/drm/card0-Virtual-{number}"
    status = machine.guest.run(f"cat {folder}/status").strip()
    return status, next(iter(machine.guest.run(f"cat {folder}/modes").split()), "")


def wait_for_connector(machine: Machine, number: int, seen: tuple[str, str]) -> None:
    wait_until(lambda: connector(machine, number) == seen, f"output {number} to be {seen}", 30)


def test_a_running_guest_sees_displays_come_change_and_go(
    workshop: Workshop, reference_machine: Machine, tmp_path: Path
) -> None:
    file = configured(tmp_path)
    file.write_text(file.read_text() + "connected = false\n")
    daemon = workshop.daemon(["--headless", "--config", str(file)])
    machine = generic_machine(workshop, daemon)
    assert [connector(machine, number) for number in (1, 2)] == [
        ("connected", "1024x768"),
        ("disconnected", ""),
    ]
    # Resized: its kernel has heard of it before anybody in the guest asks.
    assert vgpuctl(daemon, "displays", "set", "640x480").stderr == ""
    wait_for_connector(machine, 1, ("connected", "640x480"))
    # Larger than the console's buffer, which hides such modes until a desktop asks.
    assert vgpuctl(daemon, "displays", "set", "1280x800").stderr == ""
    wait_for_mode(machine, "Virtual-1", (1280, 800))
    assert connector(machine, 1) == ("connected", "1280x800")
    expected = reference(reference_machine, (1280, 800), "smpte")
    with shown(machine, modetest_arguments({connectors(machine)[0]: (1280, 800)}, "smpte")):
        wait_until(
            lambda: screenshot(daemon, 0, tmp_path / "screen.png") == expected, "the pattern"
        )
    # Plugged in, and unplugged again.
    for size, seen in (("800x600", ("connected", "800x600")), ("off", ("disconnected", ""))):
        assert vgpuctl(daemon, "displays", "set", "--scanout", "1", size).stderr == ""
        wait_for_connector(machine, 2, seen)
    assert "*ERROR*" not in machine.guest.run("dmesg")


def test_a_device_that_takes_no_news_sees_them_after_a_reboot(
    workshop: Workshop, tmp_path: Path
) -> None:
    daemon = workshop.daemon(["--headless", "--config", str(configured(tmp_path))])
    machine = workshop.ready_machine(daemon)
    warned = vgpuctl(daemon, "displays", "set", "1280x800")
    assert (warned.returncode, "only when it starts next" in warned.stderr) == (0, True)
    machine.guest.send("reboot -f")
    machine.wait_ready()
    assert connector(machine, 1) == ("connected", "1280x800")


def test_a_guest_goes_on_when_a_reboot_finds_no_display(workshop: Workshop, tmp_path: Path) -> None:
    daemon = workshop.daemon(["--headless", "--config", str(configured(tmp_path))])
    machine = workshop.ready_machine(daemon)
    machine.guest.send("reboot -f")
    machine.wait_ready()
    assert next(iter(preferred_modes(machine).values())) == SIZES[0]
