# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The guest's disk: Debian's Mesa, and programs of OpenGL and Vulkan.  What is written there is gone with the machine."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

from .machine import Machine, MachineOptions
from .parts import HERE, made_by

# Where it is mounted in the guest.
ROOT = "/disk"
# Here the kernel itself cannot find the last two.
MODULES = "virtio_gpu,virtio_input,evdev,virtio_blk,crc32c_generic,ext4"


@functools.cache
def image(suites: str = "trixie") -> Path:
    """The file, of packages from there."""
    return made_by(HERE / "guest" / "build-disk", E2E_DISK=suites)


def options(base: MachineOptions | None = None, suites: str = "trixie") -> MachineOptions:
    """A machine with the disk, and memory for large programs."""
    base = base or MachineOptions()
    drive = f"file={image(suites)},if=none,id=disk,format=raw,snapshot=on"
    return replace(
        base,
        memory="2G",
        kernel_options=f"{base.kernel_options} modules={MODULES}".strip(),
        arguments=(*base.arguments, "-drive", drive, "-device", "virtio-blk-pci,drive=disk"),
    )


def mount(machine: Machine) -> None:
    """After each boot."""
    machine.guest.run(
        f"mkdir -p {ROOT} && mount -t ext4 /dev/vda {ROOT}"
        f" && for i in dev proc sys tmp run; do mount --bind /$i {ROOT}/$i; done",
        timeout=30,
    )


def run(machine: Machine, command: str, timeout: float = 60) -> str:
    """What a program of the disk prints."""
    return machine.guest.run(f"chroot {ROOT} {command}", timeout=timeout)
