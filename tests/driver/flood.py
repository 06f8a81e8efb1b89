# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A flood without end, on a queue or a socket, in a process of its own: ``python -m tests.driver.flood SOCKET_PATH WHAT``.

In its own process, so that what is measured beside it does not wait for its interpreter.  One of the floods never comes near vgpud: beside
it one sees what is not vgpud's doing.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import commands
from .backend import Machine
from .memory import GuestMemory, MiB
from .queue import Queue
from .rings import SplitRing

RING = 1024
RUNNING = b"running\n"
COMPUTING = "computing"
COMPUTING_THREADS = 2
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def flooding(socket_path: Path, what: str) -> Iterator[None]:
    """Such a machine is at work as long as the context."""
    command = [sys.executable, "-m", "tests.driver.flood", str(socket_path), what]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == RUNNING
            yield
            assert process.poll() is None, "the flood has ended by itself"
        finally:
            process.kill()


def _drain(end: socket.socket) -> None:
    room = bytearray(1 << 20)
    while end.recv_into(room):
        pass


class _HotRing:
    """A queue whose chains are all offered again as soon as some have come back."""

    def __init__(self, queue: Queue, request: bytes, response_length: int) -> None:
        assert isinstance(queue.ring, SplitRing)
        self._queue, self._ring = queue, queue.ring
        step = 1 if response_length == 0 else 2
        for _ in range(RING // step):
            queue.submit(request, response_length, kick=False)
        self._heads = RING // step
        self._offered = self._heads
        queue.kick()

    def turn(self) -> None:
        """Waits for some to come back, and offers as many again."""
        ring = self._ring
        done = (ring.used_idx - ring.last_used_idx) & 0xFFFF
        if not done:
            self._queue.wait_for_call(0.001)
            return
        for _ in range(done):
            place = ring.last_used_idx % ring.size
            ring.offer(ring._used32[2 * place])
            ring.last_used_idx = (ring.last_used_idx + 1) & 0xFFFF
        ring.publish()
        if ring.needs_kick():
            self._queue.kick()


def _flood_queue(socket_path: Path, what: str) -> Iterator[None]:
    ours, theirs = socket.socketpair()
    threading.Thread(target=_drain, args=(ours,), daemon=True).start()
    machine = Machine(
        socket_path,
        memory=GuestMemory(4 * MiB),
        headless=True,
        guest={"cursor_size": RING, "control_size": RING},
    )
    machine.frontend.set_gpu_socket(theirs)
    guest = machine.guest
    pointer = guest.create_2d(64, 64)
    guest.show(pointer)
    request, queue, length = {
        "cursors": (commands.update_cursor(0, 1, 2, pointer.resource_id), guest.cursor, 0),
        "moves": (commands.move_cursor(0, 1, 2, pointer.resource_id), guest.cursor, 0),
        "flushes": (commands.resource_flush(1, pointer.whole), guest.control, 24),
        "displays": (commands.get_display_info(), guest.control, commands.DISPLAY_INFO_SIZE),
    }[what]
    hot = _HotRing(queue, request, length)
    while True:
        yield
        hot.turn()


def _flood_requests(socket_path: Path, what: str) -> Iterator[None]:
    """GET_CONFIG without end."""
    machine = Machine(socket_path, memory=GuestMemory(4 * MiB), headless=True)
    while True:
        yield
        machine.frontend.get_config()


def _flood_connections(socket_path: Path, what: str) -> Iterator[None]:
    """Connections that say nothing, and go."""
    while True:
        yield
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(socket_path))


def _flood_control(socket_path: Path, what: str) -> Iterator[None]:
    """The status of all machines, asked for without end."""
    question = json.dumps({"version": 1, "command": "status"}).encode() + b"\n"
    while True:
        yield
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{socket_path}.control")
            connection.sendall(question)
            while connection.recv(1 << 16):
                pass


def _compute(socket_path: Path, what: str) -> Iterator[None]:
    """Busy threads, as many as a guest with two processors has, and nothing else."""
    much = bytes(1 * MiB)

    # hashlib gives the interpreter's lock back while it computes, so the threads keep as many processors busy.
    def forever() -> None:
        while True:
            hashlib.sha256(much)

    for _ in range(COMPUTING_THREADS - 1):
        threading.Thread(target=forever, daemon=True).start()
    while True:
        yield
        hashlib.sha256(much)


FLOODS: dict[str, Callable[[Path, str], Iterator[None]]] = {
    "cursors": _flood_queue,
    "moves": _flood_queue,
    "flushes": _flood_queue,
    "displays": _flood_queue,
    "requests": _flood_requests,
    "connections": _flood_connections,
    "control": _flood_control,
    COMPUTING: _compute,
}


def main(socket_path: str, what: str) -> None:
    turns = FLOODS[what](Path(socket_path), what)
    next(turns)
    sys.stdout.buffer.write(RUNNING)
    sys.stdout.buffer.flush()
    for _ in turns:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
