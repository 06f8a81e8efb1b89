# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Viewers: how many of a guest's frames reach a viewer's screen, and what that costs each process.

`python -m contrib.bench.viewers`.  The guest is the tests' driver, which shows one of several whole pictures after the other, as a GL
program does that swaps buffers.  A frame counts when its pixels are in the X server that the viewer has its window in.
"""

from __future__ import annotations

import argparse
import mmap
import os
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.daemon.running import devices, named, sessions
from tests.driver.backend import Backend, Machine
from tests.driver.gpu import Resource
from tests.driver.memory import GuestMemory, MiB
from tests.e2e.process import Process
from tests.e2e.x_server import XServer

from .processes import cpu_time_of_tree

TIGER = ("xtigervncviewer", "-SecurityTypes=None", "-RemoteResize=0", "-AlertOnFatalError=0")
CLIENTS: dict[str, Sequence[str]] = {
    "tigervnc": (*TIGER, "127.0.0.1::{port}"),
    "tigervnc-raw": (*TIGER, "-AutoSelect=0", "-PreferredEncoding=Raw", "127.0.0.1::{port}"),
    "tigervnc-zrle": (*TIGER, "-AutoSelect=0", "-PreferredEncoding=ZRLE", "127.0.0.1::{port}"),
    "gtk-vnc": ("gvncviewer", "127.0.0.1:{display}"),
}
NOBODY = "nobody"
VNC_PORT = 5900
# Room for a window of the picture's size, with what a viewer has around it; and a place inside it.
SCREEN, PLACE = "2200x1300", (800, 700)
SIZE = (1920, 1080)
PICTURES = 8
LOOKS_A_SECOND = 500
SETTLED_SECONDS = 2.0


# --- the guest


def picture(number: int, width: int, height: int) -> bytes:
    """Shades that differ between pictures at each place, and that a lossy encoding keeps apart."""
    red = bytes((x // 8 + 32 * number) % 256 for x in range(width))
    rows = []
    for y in range(height):
        row = bytearray(width * 4)
        row[0::4] = bytes([(y // 4 + 32 * number) % 256]) * width
        row[1::4] = bytes([(y // 8 + 16 * number) % 256]) * width
        row[2::4] = red
        rows.append(row)
    return b"".join(rows)


class Guest:
    """Shows that many frames a second, from a thread, until it is stopped."""

    def __init__(self, machine: Machine, frames_a_second: float) -> None:
        self._guest = machine.guest
        self._pause = 1 / frames_a_second
        self.frames = 0
        self.longest = 0.0
        self._pictures = [self._drawn(number) for number in range(PICTURES)]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _drawn(self, number: int) -> Resource:
        resource = self._guest.create_2d(*SIZE)
        self._guest.draw(resource, resource.whole, picture(number, *SIZE))
        return resource

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopped.is_set():
            begun = time.monotonic()
            self._guest.show(self._pictures[self.frames % PICTURES])
            self.frames += 1
            self.longest = max(self.longest, time.monotonic() - begun)
            due = max(due + self._pause, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


# --- the screen


class Seen:
    """Counts how often the pixel of one place in an X server's screen changes, from a thread."""

    def __init__(self, folder: Path) -> None:
        self.changes = 0
        with (folder / "Xvfb_screen0").open("rb") as file:
            self._screen = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header = struct.unpack_from(">25I", self._screen)
        stride, colours = header[12], header[19]
        self._at = header[0] + colours * 12 + PLACE[1] * stride + PLACE[0] * 4
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        before = b""
        while True:
            found = self._screen[self._at : self._at + 3]
            self.changes += found != before
            before = found
            time.sleep(1 / LOOKS_A_SECOND)


# --- what is measured


def free_port() -> int:
    """A free port, which also gives a display's number."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def client(name: str, port: int, display: str) -> Iterator[Process | None]:
    if name == NOBODY:
        yield None
        return
    words = [word.format(port=port, display=port - VNC_PORT) for word in CLIENTS[name]]
    process = Process(name, words, environment={"DISPLAY": display})
    try:
        yield process
    finally:
        process.kill()


Row = dict[str, float]


def measure(
    processes: Callable[[], dict[str, list[int]]],
    seen: Seen,
    frames: Callable[[], int],
    seconds: float,
) -> Row:
    """Frames a second, of the guest and on the screen, and each kind of process's share of a
    core.
    """
    time.sleep(SETTLED_SECONDS)
    kinds = processes()
    cpu = {kind: sum(map(cpu_time_of_tree, numbers)) for kind, numbers in kinds.items()}
    begun, drawn, shown = time.monotonic(), frames(), seen.changes
    time.sleep(seconds)
    took = time.monotonic() - begun
    return {
        "guest": (frames() - drawn) / took,
        "seen": (seen.changes - shown) / took,
        **{
            kind: 100 * (sum(map(cpu_time_of_tree, numbers)) - cpu[kind]) / took
            for kind, numbers in kinds.items()
        },
    }


def measure_client(name: str, frames_a_second: float, seconds: float) -> Row:
    """A daemon, a machine, a screen and a viewer of their own."""
    port = free_port()
    with ExitStack() as owned:
        folder = Path(owned.enter_context(tempfile.TemporaryDirectory()))
        x_server = XServer(folder, SCREEN)
        owned.callback(x_server.close)
        program = [sys.executable, "-m", "vgpud", "--headless", f"--view=127.0.0.1:{port}"]
        backend = owned.enter_context(Backend(lambda path: [*program, "--socket-path", str(path)]))
        memory = GuestMemory((PICTURES + 2) * 8 * MiB)
        machine = owned.enter_context(Machine(backend.socket_path, headless=True, memory=memory))
        guest = Guest(machine, frames_a_second)
        owned.callback(guest.stop)
        viewer = owned.enter_context(client(name, port, x_server.display))
        daemon = backend.process.pid

        def processes() -> dict[str, list[int]]:
            return {
                "session": sessions(daemon),
                "device": devices(daemon),
                "view": named(daemon, "vgpud-view"),
                "viewer": [viewer.pid] if viewer else [],
                "X": [x_server.process.pid],
            }

        row = measure(processes, Seen(folder), lambda: guest.frames, seconds)
        return row | {"longest": guest.longest * 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m contrib.bench.viewers", description=__doc__)
    parser.add_argument("--clients", default=",".join((NOBODY, *CLIENTS)), metavar="LIST")
    parser.add_argument(
        "--fps", default="30,60", metavar="LIST", help="frames a second of the guest"
    )
    parser.add_argument("--seconds", type=float, default=6.0, metavar="N")
    options = parser.parse_args()
    for name in options.clients.split(","):
        if name != NOBODY and shutil.which(CLIENTS[name][0]) is None:
            sys.exit(f"not installed: {CLIENTS[name][0]}")
    print(f"{os.cpu_count()} cores, Linux {os.uname().release}, load {os.getloadavg()[0]:.2f}")
    for name in options.clients.split(","):
        for frames in map(float, options.fps.split(",")):
            row = measure_client(name, frames, options.seconds)
            shown = "  ".join(f"{kind} {number:5.1f}" for kind, number in row.items())
            print(f"{name:14} {frames:g}  {shown}", flush=True)


if __name__ == "__main__":
    main()
