# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The memory that a guest's Vulkan has on the host: on the machine's screen, and more of it than the VMM can map."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..daemon.running import machine_status
from . import disk, host, vulkan
from .conftest import Report, Workshop
from .control import Screen
from .daemon import Daemon
from .long import takes
from .machine import Machine
from .picture import Picture
from .process import wait_until
from .screens import assert_console_is_readable, write_text

pytestmark = [
    pytest.mark.usefixtures("only_vgpud"),
    pytest.mark.timeout(600),
    takes("minutes"),
]


@pytest.fixture(scope="module")
def daemon(shared_workshop: Workshop) -> Daemon:
    return vulkan.start_daemon(shared_workshop, "virglrenderer", host.vgpud_command())


@pytest.fixture(scope="module")
def machine(shared_workshop: Workshop, daemon: Daemon) -> Machine:
    return vulkan.ready_machine(shared_workshop, daemon)


@pytest.fixture(scope="module")
def screen(machine: Machine, daemon: Daemon) -> Screen:
    return Screen(machine, daemon)


@contextmanager
def running(machine: Machine, command: str, last_word: str) -> Iterator[str]:
    """A program of the disk, until the block ends; what it printed until that word."""
    program, log = command.split()[0], "/tmp/running.log"
    by_venus = f"env {vulkan.VENUS.chosen} chroot {disk.ROOT} {command}"
    # Some end when their standard input does.
    machine.guest.run(f"rm -f {log}; sleep 900 | ({by_venus}; echo ended) >{log} 2>&1 &")
    try:
        waits = f"until grep -qE '{last_word}|^ended' {log}; do sleep 0.1; done"
        said = machine.guest.run(f"{waits}; cat {log}", 200)
        assert last_word in said, said
        yield said
    finally:
        end = f"killall -q -9 {program} sleep; while pidof {program}; do sleep 0.1; done"
        machine.guest.run(end, check=False)


def assert_console_is_back(screen: Screen, text: str) -> None:
    write_text(screen, text)
    assert_console_is_readable(screen)


# --- on the screen

FRAMES = 10


def drawn(frame: int) -> Picture:
    """What `show` draws as that frame."""
    width, height = vulkan.MODE
    pixels = bytearray()
    for row in range(height):
        for segment in range(16):
            colour = (row + 7 * frame & 255, segment * 16, row // 2 & 255)
            pixels += bytes(colour) * (width // 16)
    return Picture(width, height, bytes(pixels))


def assert_shows(screen: Screen, picture: Picture) -> None:
    shown = screen.screendump()
    if difference := shown.difference(picture):
        screen.keep(shown, "shown")
        raise AssertionError(difference)


@pytest.mark.parametrize("how", ["vulkan", "processor"])
def test_the_screen_shows_the_memory_that_is_drawn_into(
    machine: Machine, screen: Screen, how: str
) -> None:
    """Nothing is copied in the guest: the memory itself is the framebuffer."""
    arguments = "processor" if how == "processor" else ""
    with running(machine, f"show {vulkan.SIZE} {FRAMES} {arguments}", "shown") as said:
        assert said.startswith("Virtio-GPU Venus")
        assert_shows(screen, drawn(FRAMES - 1))
        assert screen.screendump().difference(drawn(FRAMES - 2))
    assert_console_is_back(screen, f"after {how}")


def test_the_picture_outlives_the_memory(machine: Machine, screen: Screen, daemon: Daemon) -> None:
    device = daemon.device_processes()
    with running(machine, f"show {vulkan.SIZE} {FRAMES}", "shown"):
        os.kill(device[0], signal.SIGKILL)
        wait_until(lambda: daemon.device_processes() not in (device, []), "another device process")
        assert_shows(screen, drawn(FRAMES - 1))
    assert_console_is_back(screen, "after its death")
    with running(machine, f"show {vulkan.SIZE} 1", "shown"):
        assert_shows(screen, drawn(0))
    assert_console_is_back(screen, "and again")


# --- more of it than the VMM can map

WANTED = 2000


def in_use(daemon: Daemon) -> dict[str, int]:
    """Of what a guest's Vulkan takes."""
    limits = machine_status(daemon.socket_path)["limits"]
    names = ("memory_slots", "hostmem", "blob_memory", "resources", "contexts")
    return {name: limits[name]["used"] for name in names}


def test_a_program_with_two_thousand_allocations(
    machine: Machine, screen: Screen, daemon: Daemon, report: Report
) -> None:
    device = daemon.device_processes()
    before = in_use(daemon)
    with running(machine, f"compute --allocations {WANTED}", "allocations") as said:
        report(said)
        count = int(said.split(" of ")[0].split()[-1])
        assert (
            in_use(daemon)["memory_slots"]
            == machine_status(daemon.socket_path)["limits"]["memory_slots"]["limit"]
        )
        assert_console_is_back(screen, "while all slots are taken")
        # Others are told that there is no memory, and end.
        said = machine.guest.run(
            f"env {vulkan.VENUS.chosen} chroot {disk.ROOT} compute 100 1", 60, check=False
        )
        report(said)
    assert 0 < count < WANTED
    wait_until(lambda: in_use(daemon) == before, "what it had to be given back")
    assert "Venus" in disk.run(machine, f"env {vulkan.VENUS.chosen} compute 100 1")
    assert daemon.device_processes() == device
