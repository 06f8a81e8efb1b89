# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A QEMU command line that connects to this daemon, which can be pasted into a shell as it is."""

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from vgpud.config.runtime import ADDRESS_BYTES


class _Target(NamedTuple):
    """What QEMU calls a machine like this host, and the device that shows a screen earliest."""

    program: str
    machine: str
    device: str


# A VGA device shows the firmware's messages; Arm machines have none.
TARGETS = {
    "x86_64": _Target("qemu-system-x86_64", "q35", "vhost-user-vga"),
    "aarch64": _Target("qemu-system-aarch64", "virt", "vhost-user-gpu-pci"),
}
MEMORY = "1G"


def qemu_line(socket_path: Path) -> str:
    """Empty on a host whose architecture we have not tried.  Every QEMU accepts ``-display none``
    with this device; the user adds a disk, and a window.
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
    """An absolute path, which works wherever the line is pasted, unless it is too long for a
    socket's address.
    """
    whole = path.absolute()
    return os.fspath(whole if len(os.fsencode(whole)) < ADDRESS_BYTES else path)


def _value(text: str) -> str:
    """A value among QEMU's options, which are separated by commas."""
    return text.replace(",", ",,")


def say_qemu_line(socket_path: Path) -> None:
    """Prints it on standard output; no error if nobody reads that."""
    line = qemu_line(socket_path)
    if not line:
        return
    with suppress(OSError, ValueError):
        sys.stdout.buffer.write(os.fsencode(line) + b"\n")
        sys.stdout.flush()
