# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Many machines on one daemon, each small; all their displays are served by one thread."""

from __future__ import annotations

import array
import contextlib
import random
import resource
import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from .closing import Closing
from .display import DisplayServer
from .frontend import Frontend
from .gpu import Guest
from .memory import GuestMemory, MiB
from .protocol import HEADER, Message

WIDTH, HEIGHT = 16, 12
DESCRIPTORS_EACH = 20
RECEIVE_BYTES = 1 << 16


class FleetDisplay(DisplayServer):
    """One that is given what has come, instead of waiting for it."""

    def _begin(self) -> None:
        self._connection.setblocking(False)
        self._data = b""
        self._fds: list[int] = []

    def fileno(self) -> int:
        return self._connection.fileno()

    def receive(self) -> bool:
        """Takes what there is; false at the end."""
        try:
            data, ancillary, _, _ = self._connection.recvmsg(
                RECEIVE_BYTES, socket.CMSG_SPACE(64), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return True
        except OSError:
            return False
        for _, _, rights in ancillary:
            self._fds += array.array("i", rights)
        self._data += data
        while message := self._whole():
            self._take(message)
        return bool(data)

    def _whole(self) -> Message | None:
        if len(self._data) < HEADER.size:
            return None
        request, flags, size = HEADER.unpack_from(self._data)
        end = HEADER.size + size
        if len(self._data) < end:
            return None
        payload, self._data = self._data[HEADER.size : end], self._data[end:]
        fds, self._fds = tuple(self._fds), []
        return Message(request, flags, payload, fds)


class Displays:
    """The thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._ended = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name="displays", daemon=True)
        self._thread.start()

    def add(self, display: FleetDisplay) -> None:
        with self._lock:
            self._selector.register(display, selectors.EVENT_READ)

    def remove(self, display: FleetDisplay) -> None:
        with self._lock, contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(display)

    def close(self) -> None:
        self._ended = True
        self._wake.send(b"x")
        self._thread.join(5)
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _serve(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select():
                display = key.fileobj
                if isinstance(display, FleetDisplay) and not display.receive():
                    self.remove(display)


class Member:
    """One machine of a fleet."""

    def __init__(self, socket_path: Path, displays: Displays, number: int, seconds: float) -> None:
        self._number = number
        self._displays = displays
        self._seconds = seconds
        self._drawn = 0
        with contextlib.ExitStack() as failed:
            self.memory = GuestMemory(MiB // 4)
            failed.callback(self.memory.close)
            self.guest = Guest(self.memory, timeout=seconds)
            failed.callback(self.guest.close)
            self.display = FleetDisplay([(640 + number, 480)])
            failed.callback(self._close_display)
            displays.add(self.display)
            self.frontend = Frontend.connect(socket_path, timeout=seconds)
            failed.callback(self.frontend.close)
            self.frontend.start(self.memory, self.guest.queues, self.display.theirs)
            self._owned = failed.pop_all()
        self.picture = self.guest.create_2d(WIDTH, HEIGHT)
        self.guest.set_scanout(0, self.picture)

    def _close_display(self) -> None:
        self._displays.remove(self.display)
        self.display.close()

    def draw(self) -> bytes:
        """Another picture than ever before on any machine; what the display is to show."""
        self._drawn += 1
        pixels = random.Random(self._number * 10_000 + self._drawn).randbytes(WIDTH * HEIGHT * 4)
        self.guest.draw(self.picture, self.picture.whole, pixels)
        self.guest.transfer(self.picture)
        self.guest.flush(self.picture)
        return pixels

    def shows(self, pixels: bytes) -> bool:
        return self.display.wait_for_picture(0, pixels, self._seconds)

    def close(self) -> None:
        self._owned.close()


class Fleet(Closing):
    """Machines that came one after the other, and leave together."""

    def __init__(self, socket_path: Path, count: int, *, seconds: float = 2.0) -> None:
        """``seconds``: how long each single answer may take."""
        self.members: list[Member] = []
        self._displays = Displays()
        try:
            for number in range(count):
                self.members.append(Member(socket_path, self._displays, number, seconds))
        except BaseException:
            self.close()
            raise

    def blind(self, members: Sequence[Member] | None = None) -> list[int]:
        """Draws on each, and then looks at each: the numbers of those that do not show what they drew."""
        looked = [(one, one.draw()) for one in (self.members if members is None else members)]
        return [self.members.index(one) for one, pixels in looked if not one.shows(pixels)]

    def close(self) -> None:
        for member in self.members:
            member.close()
        self._displays.close()


@contextlib.contextmanager
def room_for(count: int) -> Iterator[None]:
    """As many descriptors as so many machines need in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(max(soft, count * DESCRIPTORS_EACH + 200), hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
