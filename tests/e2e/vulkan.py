# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Vulkan in the guest: weston on the machine's screen, programs of the guest's disk in it, and the ways to run them."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ..daemon.running import children, is_running, process_name
from . import disk, parts
from .conftest import Workshop
from .control import Screen
from .daemon import Daemon
from .held import Drawing, held, nearest
from .likeness import Deviation
from .machine import GENERIC, GENERIC_OPTIONS, Machine, MachineOptions
from .picture import Picture
from .process import wait_until
from .screens import BLACK


@dataclass(frozen=True)
class Driver:
    """One of the guest's, and how the name of its device begins: gfxstream's has the name that the host's has."""

    file: str
    device: str

    @property
    def chosen(self) -> str:
        """The environment in which there is no other."""
        return f"VK_DRIVER_FILES=/usr/share/vulkan/icd.d/{self.file}"


VENUS = Driver("virtio_icd.json", "Virtio-GPU Venus")
GFXSTREAM = Driver("gfxstream_vk_icd.json", "llvmpipe")
LAVAPIPE = Driver("lvp_icd.json", "llvmpipe")
SERVER = "virgl_render_se"  # as long as a process's name can be
TRIED = (
    1 << 31
) - 1  # the context whose worker is there for a moment, to see whether there can be one

MODE = (640, 480)
DISPLAY = "[[displays]]\nwidth = 640\nheight = 480\n"
SIZE = "640x480"
RUNTIME = "/tmp/weston"
# None of these drivers can export a DMA buffer here: pictures reach weston in shared memory.
IN_WESTON = f"XDG_RUNTIME_DIR={RUNTIME} WAYLAND_DISPLAY=wayland-1 MESA_VK_WSI_DEBUG=sw"
HELD_IN_WESTON = f"{IN_WESTON} VK_INSTANCE_LAYERS=VK_LAYER_VGPUD_hold"

VKCUBE = f"vkcube --wsi wayland --width {MODE[0]} --height {MODE[1]}"
VKMARK = f"vkmark --winsys wayland --size {SIZE} --benchmark"
CUBE = Drawing(VKCUBE, 30)
DRAWINGS = {
    "vkcube": CUBE,
    "vkmark's vertex": Drawing(f"{VKMARK} vertex"),
    "vkmark's texture": Drawing(f"{VKMARK} texture"),
    "vkmark's shading": Drawing(f"{VKMARK} shading:shading=phong"),
    "vkmark's desktop": Drawing(f"{VKMARK} desktop"),
    "vkmark's effect2d": Drawing(f"{VKMARK} effect2d:kernel=edge"),
    "vkmark's cube": Drawing(f"{VKMARK} cube"),
    "vkmark's clear": Drawing(f"{VKMARK} clear"),
}

STEADY_SECONDS = 1.0
"""Of a picture that does not change any more: weston shows what it was given with its next frame."""


def start_daemon(workshop: Workshop, mode: str, command: Sequence[str]) -> Daemon:
    """One whose machines have a screen of SIZE."""
    file = workshop.folder / "vgpud.toml"
    file.write_text(DISPLAY)
    return workshop.daemon(["--gpu-mode", mode, "--config", str(file)], command)


def ready_machine(
    workshop: Workshop, daemon: Daemon, *arguments: str, suites: str = "trixie"
) -> Machine:
    """With a shared memory region, and the guest's disk."""
    machine = workshop.ready_machine(daemon, machine_options(*arguments, suites=suites))
    disk.mount(machine)
    return machine


def machine_options(*arguments: str, suites: str = "trixie") -> MachineOptions:
    """A VMM that has a shared memory region."""
    options = MachineOptions(
        device=GENERIC,
        device_options=GENERIC_OPTIONS,
        qemu=parts.newest_qemu(),
        arguments=arguments,
    )
    return disk.options(options, suites)


def servers(daemon: Daemon) -> list[int]:
    """The workers' parents, of each machine one."""
    return daemon.process.named(SERVER)


def workers(daemon: Daemon) -> dict[int, int]:
    """Those that live, by the numbers of their contexts.  Of one machine: a number may be another one's as well."""
    below = (pid for server in servers(daemon) for pid in children(server) if is_running(pid))
    named = [(process_name(pid), pid) for pid in below]
    found = {int(name.split("-")[1]): pid for name, pid in named if name.startswith("virgl-")}
    return {ctx_id: pid for ctx_id, pid in found.items() if ctx_id != TRIED}


# --- weston


def start_weston(screen: Screen, renderer: str = "pixman", environment: str = "") -> None:
    """It fills the screen with the one window that it has; without a window it is black."""
    screen.guest.run(
        f"mkdir -p -m 700 {RUNTIME}; SEATD_VTBOUND=0 chroot {disk.ROOT} seatd >{RUNTIME}/seatd.log 2>&1 &"
    )
    screen.guest.run("until [ -e /run/seatd.sock ]; do sleep 0.1; done")
    screen.guest.run(
        f"env XDG_RUNTIME_DIR={RUNTIME} LIBSEAT_BACKEND=seatd {environment} chroot {disk.ROOT} weston"
        f" --backend=drm --renderer={renderer} --shell=kiosk --continue-without-input"
        f" --no-config --idle-time=0 --log={RUNTIME}/weston.log >{RUNTIME}/out.log 2>&1 &"
    )
    screen.guest.run(
        f"until [ -e {RUNTIME}/wayland-1 ]; do sleep 0.1; pidof weston seatd >/dev/null; done", 60
    )


def stop_weston(screen: Screen) -> None:
    """The screen is the console's again."""
    screen.guest.run(
        "killall -q weston; while pidof weston; do sleep 0.1; done;"
        f" killall -q seatd; while pidof seatd; do sleep 0.1; done; rm -rf {RUNTIME} /run/seatd.sock",
        check=False,
    )


# --- programs in it


@contextmanager
def drawing(screen: Screen, driver: Driver, command: str = VKCUBE) -> Iterator[None]:
    """The program draws frame after frame."""
    program = command.split()[0]
    screen.guest.run(
        f"env {IN_WESTON} {driver.chosen} chroot {disk.ROOT} {command} >/tmp/{program}.log 2>&1 &"
    )
    try:
        wait_until(lambda: moves(screen), f"{program} to draw", 60)
        yield
    finally:
        screen.guest.run(
            f"killall -q -9 {program}; while pidof {program}; do sleep 0.1; done", check=False
        )


@contextmanager
def drawing_by_worker(screen: Screen, daemon: Daemon) -> Iterator[int]:
    """The same by Venus; the program's worker."""
    before = set(workers(daemon).values())
    with drawing(screen, VENUS):
        yield max(set(workers(daemon).values()) - before)


def moves(screen: Screen) -> bool:
    """Whether the screen changes, and is no console."""
    pictures = [screen.screendump() for _ in range(2)]
    return pictures[0] != pictures[1] and all(
        (one.width, one.height) == MODE and len(one.colours()) > 100 for one in pictures
    )


@contextmanager
def held_in_weston(screen: Screen, what: Drawing, driver: Driver) -> Iterator[None]:
    """The program waits at that frame for as long as the block lasts."""
    with held(screen, what, f"{HELD_IN_WESTON} {driver.chosen}") as renderer:
        assert renderer.startswith(driver.device)
        yield


def expected_picture(screen: Screen, what: Drawing) -> Picture:
    """As the guest draws it without the host."""
    with held_in_weston(screen, what, LAVAPIPE):
        return steady(screen)


def shown_picture(screen: Screen, what: Drawing, expected: Picture, driver: Driver) -> Deviation:
    """How far the screen is from a picture when the host draws."""
    with held_in_weston(screen, what, driver):
        return nearest(screen, expected)


def steady(screen: Screen) -> Picture:
    """The first picture that does not change any more, and is not all black."""
    last, since = screen.screendump(), time.monotonic()
    end = since + 60
    while time.monotonic() - since < STEADY_SECONDS or set(last.colours()) == {BLACK}:
        picture = screen.screendump()
        if picture != last:
            last, since = picture, time.monotonic()
        assert time.monotonic() < end, "the screen has no picture that lasts"
    return last


# --- a program without a window


COUNT, STEPS = 10000, 20


def computed(machine: Machine, driver: Driver) -> list[str]:
    """The name of the device, and what it computed."""
    return disk.run(machine, f"env {driver.chosen} compute {COUNT} {STEPS}").splitlines()


@functools.cache
def expected_sum() -> str:
    """The same, computed without Vulkan."""
    total = 0
    for at in range(COUNT):
        number = at
        for step in range(STEPS):
            number = ((number ^ number >> 15) * 2246822519 + at + step) & 0xFFFFFFFF
        total = (total * 31 + number) & 0xFFFFFFFFFFFFFFFF
    return f"{total:016x}"


def assert_computes(machine: Machine, driver: Driver) -> None:
    device, result = computed(machine, driver)
    assert device.startswith(driver.device)
    assert result == expected_sum()
