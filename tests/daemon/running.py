# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The daemon as a process, as its users start it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vgpud.control.client import Client, NobodyError
from vgpud.control.protocol import control_path

from ..driver.backend import Backend, Machine
from ..driver.processes import alive as is_running
from ..driver.processes import wait_until

__all__ = [
    "COMMAND", "answers", "children", "daemon", "devices", "is_running", "machine_status", "named", "open_descriptors",
    "process_name", "sessions", "settled_descriptors", "show", "spawner", "status", "tree", "vmm", "wait_until",
]  # fmt: skip
COMMAND = (sys.executable, "-m", "vgpud")

# Speaks as a VMM of that name: connects, or takes the end of a pair, asks for the features and waits.
NAMED_VMM = """
import socket, struct, sys
end = socket.socket(socket.AF_UNIX) if sys.argv[1] != "-" else socket.socket(fileno=int(sys.argv[2]))
if sys.argv[1] != "-":
    end.connect(sys.argv[1])
end.sendall(struct.pack("3I", 1, 1, 0))
end.recv(100)
sys.stdin.read()
"""


def daemon(*options: str) -> Backend:
    """The daemon, listening soon."""
    return Backend(lambda path: [*COMMAND, "--socket-path", str(path), *options])


def show(machine: Machine) -> None:
    """Proves that a machine works."""
    guest = machine.guest
    resource = guest.create_2d(32, 32)
    pixels = os.urandom(32 * 32 * 4)
    guest.draw(resource, resource.whole, pixels)
    guest.show(resource)
    assert machine.display.wait_for_picture(0, pixels)


def children(process_id: int) -> list[int]:
    """Those of a process that it has not waited for: one that has ended may be among them."""
    found: list[int] = []
    with suppress(OSError):  # the process has ended
        for numbers in Path(f"/proc/{process_id}/task").glob("*/children"):
            with suppress(OSError):  # that thread has ended
                found += map(int, numbers.read_text().split())
    return found


def tree(process_id: int) -> list[int]:
    """All processes below one."""
    below = children(process_id)
    return [*below, *(number for child in below for number in tree(child))]


def named(process_id: int, name: str) -> list[int]:
    """The processes of that name below one."""
    return [number for number in tree(process_id) if process_name(number) == name]


def process_name(process_id: int) -> str:
    try:
        return Path(f"/proc/{process_id}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""  # it has ended


def spawner(process_id: int) -> int:
    """A daemon's."""
    (number,) = named(process_id, "vgpud-spawner")
    return number


def sessions(process_id: int) -> list[int]:
    """The session processes of a daemon."""
    return named(process_id, "vgpud-session")


def devices(process_id: int) -> list[int]:
    """The device processes of a daemon."""
    return named(process_id, "vgpud-device")


def answers(socket_path: Path) -> bool:
    """Whether a daemon listens at its control socket, whose file is there a moment earlier."""
    try:
        Client(control_path(socket_path)).close()
    except NobodyError:
        return False
    return True


def status(socket_path: Path) -> dict[str, Any]:
    """What the daemon says of itself and its machines."""
    client = Client(control_path(socket_path))
    try:
        return client.ask("status")[0]
    finally:
        client.close()


def machine_status(socket_path: Path) -> dict[str, Any]:
    """The same of its one machine."""
    (machine,) = status(socket_path)["machines"]
    return dict(machine)


def settled_descriptors(process_id: int) -> Sequence[str]:
    """What a process has open, once that does not change any more."""
    found, same = open_descriptors(process_id), 0
    while same < 5:
        time.sleep(0.02)
        again = open_descriptors(process_id)
        found, same = again, same + 1 if again == found else 0
    return found


def open_descriptors(process_id: int) -> Sequence[str]:
    """What a process has open."""
    found = []
    for entry in Path(f"/proc/{process_id}/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return sorted(found)


@contextmanager
def vmm(path: Path | str, name: str, *arguments: str, **keywords: Any) -> Iterator[None]:
    """A process that a VMM's command line says that name of; it is served until the context ends."""
    command = [sys.executable, "-c", NAMED_VMM, str(path), *arguments, "-name", f"guest={name}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, **keywords) as process:
        try:
            yield
        finally:
            process.kill()
