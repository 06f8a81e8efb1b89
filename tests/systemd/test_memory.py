# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a unit's MemoryMax means to a machine that takes too much memory, and to its neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..daemon.running import devices, is_running, sessions, show, spawner
from ..driver import commands
from ..driver.backend import Machine
from ..driver.gpu import CommandFailedError, Resource
from .booted import Systemd

UNIT = "vgpud.service"
# For three machines and a few dozen images.
LIMIT = "[Service]\nMemoryMax=192M\n"
SIZE = 1024  # of an image of 4 MiB
IMAGES_MAX = 100
# An emulated processor is slow.
PATIENT = {"timeout": 60.0}


@pytest.fixture
def unit(systemd: Systemd) -> Iterator[Path]:
    """The control group of the unit, which runs."""
    systemd.add_to(UNIT, LIMIT)
    systemd.do("start", UNIT)
    group = systemd.control_group(UNIT)
    try:
        if not (group / "memory.max").exists():
            pytest.skip("control groups have no memory controller here")
        yield group
    finally:
        systemd.do("stop", UNIT)


def kills(group: Path) -> int:
    """How many processes the kernel has killed for want of memory."""
    counted = dict(line.split() for line in (group / "memory.events").read_text().splitlines())
    return int(counted["oom_kill"])


def eat(machine: Machine, group: Path) -> None:
    """Images without end, each drawn into, until the kernel has killed somebody."""
    guest = machine.guest
    backing = guest.create_2d(SIZE, SIZE).entries
    for _ in range(IMAGES_MAX):
        try:
            draw_into(machine, guest.create_2d(SIZE, SIZE, backed=False), backing)
        except CommandFailedError:
            assert kills(group)
        if kills(group):
            return
    raise AssertionError("the unit's memory has never run out")


def draw_into(machine: Machine, image: Resource, backing: list[tuple[int, int]]) -> None:
    image.entries = backing
    machine.guest.do(commands.resource_attach_backing(image.resource_id, backing))
    machine.guest.transfer(image)


def test_a_machine_that_eats_loses_its_device_process_and_nobody_else_anything(
    systemd: Systemd, unit: Path
) -> None:
    daemon = systemd.main_process(UNIT)
    path = systemd.path("/run/vgpud/vgpud.sock")
    with ExitStack() as machines:
        one, eater, other = (machines.enter_context(Machine(path, guest=PATIENT)) for _ in range(3))
        for machine in (one, eater, other):
            show(machine)
        before = devices(daemon)
        stay = [daemon, spawner(daemon), *sessions(daemon), before[0], before[2]]
        eat(eater, unit)
        for machine in (one, other, eater):
            show(machine)
        # The unit has room again.
        assert kills(unit) == 1
        assert "images that are not shown are black" in systemd.log("")
        assert systemd.main_process(UNIT) == daemon
        assert all(map(is_running, stay))
        assert not is_running(before[1])
        assert len(devices(daemon)) == 3
    assert systemd.property(UNIT, "NRestarts") == "0"
    assert systemd.ask("is-active", UNIT) == "active"
