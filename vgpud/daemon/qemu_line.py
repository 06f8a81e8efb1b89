# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The command line of a QEMU that connects to this daemon, to be pasted into a shell as it is."""

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from vgpud.daemon.folder import ADDRESS_BYTES


class _Target(NamedTuple):
    """What QEMU calls a machine like this host, and the device that a screen is soonest seen on."""

    program: str
    machine: str
    device: str


# A VGA shows what the firmware has to say; Arm's machines have none.
TARGETS = {
    "x86_64": _Target("qemu-system-x86_64", "q35", "vhost-user-vga"),
    "aarch64": _Target("qemu-system-aarch64", "virt", "vhost-user-gpu-pci"),
}
MEMORY = "1G"


def qemu_line(socket_path: Path) -> str:
    """Empty on a host whose machines we have not tried.  ``-display none`` is what every QEMU takes beside this
    device; a disk, and a window, are for whoever pastes it to add.
    """
    target = TARGETS.get(os.uname().machine)
    if target is None:
        return ""
    words = [
        target.program,
        *("-machine", f"{target.machine},memory-backend=mem0,accel=kvm:tcg"),
        *("-m", MEMORY),
        *("-object", f"memory-backend-memfd,share=on,id=mem0,size={MEMORY}"),
        *("-chardev", f"socket,id=vgpu,path={_value(_everywhere(socket_path))}"),
        *("-device", f"{target.device},chardev=vgpu"),
        *("-vga", "none", "-display", "none"),
    ]
    return shlex.join(words)


def _everywhere(path: Path) -> str:
    """The path from wherever the line is pasted, unless that is too long for a socket's address."""
    whole = path.absolute()
    return os.fspath(whole if len(os.fsencode(whole)) < ADDRESS_BYTES else path)


def _value(text: str) -> str:
    """A value among QEMU's options, which commas part."""
    return text.replace(",", ",,")


def say_qemu_line(socket_path: Path) -> None:
    """On standard output, where nobody reads it too."""
    line = qemu_line(socket_path)
    if not line:
        return
    with suppress(OSError, ValueError):
        sys.stdout.buffer.write(os.fsencode(line) + b"\n")
        sys.stdout.flush()
