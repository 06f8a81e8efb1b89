# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""OpenGL in the guest: a disk with Mesa and programs, and the ways to run them."""

from __future__ import annotations

import functools
import subprocess
import time
from pathlib import Path

from .machine import Machine, MachineOptions
from .parts import BUILD_TIMEOUT, HERE
from .picture import Picture

MODE = (1024, 768)
# Where Mesa is in the guest's memory.
ROOT = "/gl"
SOFTWARE = "MESA_LOADER_DRIVER_OVERRIDE=kms_swrast"


@functools.cache
def disk() -> Path:
    """The archive that is the guest's second disk."""
    script = HERE / "guest" / "build-gl"
    made = subprocess.run(
        [script], stdout=subprocess.PIPE, check=True, text=True, timeout=BUILD_TIMEOUT
    )
    return Path(made.stdout.strip())


def options() -> MachineOptions:
    """A machine with the disk, and memory to unpack it into."""
    drive = f"file={disk()},if=none,id=gl,format=raw,readonly=on"
    return MachineOptions(
        memory="2G",
        kernel_options="modules=virtio_gpu,virtio_input,evdev,virtio_blk",
        arguments=("-drive", drive, "-device", "virtio-blk-pci,drive=gl"),
    )


def unpack(machine: Machine) -> None:
    """After each boot."""
    machine.guest.run(
        f"mkdir -p {ROOT} && mount -t tmpfs -o size=1g tmpfs {ROOT} && tar -xf /dev/vda -C {ROOT}"
        f" && for i in dev proc sys tmp run; do mount --bind /$i {ROOT}/$i; done",
        timeout=90,
    )


def run(machine: Machine, command: str, timeout: float = 60) -> str:
    """What a program of the disk prints."""
    return machine.guest.run(f"chroot {ROOT} {command}", timeout=timeout)


def start_scene(machine: Machine, frames: int, environment: str = "") -> None:
    """The cube begins to turn; ``environment`` may choose another renderer."""
    command = f"chroot {ROOT} scene {MODE[0]}x{MODE[1]} {frames}"
    machine.guest.run(f"{environment} {command} >/tmp/scene.log 2>&1 &")


def wait_for_scene(machine: Machine, timeout: float = 90) -> str:
    """Until the last frame is on the screen; the renderer's name."""
    end = time.monotonic() + timeout
    while "shown" not in (log := machine.guest.run("cat /tmp/scene.log")):
        if "failed" in log or time.monotonic() > end:
            raise AssertionError(f"scene: {log}")
        time.sleep(0.2)
    return log.splitlines()[0]


def wait_until_it_draws(machine: Machine) -> None:
    """Until its first frames are on the screen."""
    machine.wait_picture(lambda shown: (shown.width, shown.height) == MODE, "that of the scene")


def stop_scene(machine: Machine) -> None:
    machine.guest.run("killall -9 scene; while pidof scene; do sleep 0.1; done", check=False)


def scene(machine: Machine, frames: int, environment: str = "") -> tuple[Picture, str]:
    """The last of so many frames as the screen shows it, and the renderer that drew it."""
    start_scene(machine, frames, environment)
    renderer = wait_for_scene(machine)
    last = machine.screendump()
    while (picture := machine.screendump()) != last:
        last = picture
    stop_scene(machine)
    return picture, renderer


def differing(one: Picture, other: Picture, tolerance: int) -> float:
    """The part of all pixels in which some colour differs by more than ``tolerance`` of 255."""
    assert (one.width, one.height) == (other.width, other.height)
    wrong = {
        place // 3
        for place, (a, b) in enumerate(zip(one.pixels, other.pixels, strict=True))
        if abs(a - b) > tolerance
    }
    return len(wrong) / (one.width * one.height)
