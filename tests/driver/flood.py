# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A machine that works without end, in a process of its own: ``python -m tests.driver.flood SOCKET_PATH WHAT``.

Of its own, so that what is measured beside it does not wait for its interpreter.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import commands
from .backend import Machine
from .memory import GuestMemory, MiB
from .queue import Queue
from .rings import SplitRing

RING = 1024
RUNNING = b"running\n"
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


def main(socket_path: str, what: str) -> None:
    ours, theirs = socket.socketpair()
    threading.Thread(target=_drain, args=(ours,), daemon=True).start()
    machine = Machine(
        Path(socket_path),
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
    sys.stdout.buffer.write(RUNNING)
    sys.stdout.buffer.flush()
    while True:
        hot.turn()


if __name__ == "__main__":
    main(*sys.argv[1:])
