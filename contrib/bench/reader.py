# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The display's end of the socket in a forked process: reads, counts, and looks at a few pixels of each message.

Its cost is part of every peer's CPU time for each frame and hides differences.  So pixels go into
one small buffer that stays in the cache, in reads as large as the socket gives, and nothing is
allocated for a frame.
"""

import mmap
import os
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from enum import IntEnum

from tests.driver.commands import ResponseType, header
from tests.driver.display import FLAG_REPLY, Display, make_edid
from tests.driver.protocol import HEADER

SINK_SIZE = 256 * 1024
CELL = 64
MAX_CELLS = 4096
MAX_COUNTERS = 64
UPDATE_PREFIX = 20

_UPDATE = struct.Struct("=5I")
_PIXEL = struct.Struct("=I")
COLOURS = 0x00FF_FFFF


class Counter(IntEnum):
    """Places in the page that reader and driver share."""

    FRAMES = 0
    LAST_FRAME = 1
    DAMAGES = 2
    UPDATES = 3
    PIXELS = 4
    CURSOR_MOVES = 5
    CURSOR_X = 6
    CURSOR_TIME = 7
    ERRORS = 8
    MODE = 9
    SCANOUT_WIDTH = 10
    SCANOUT_HEIGHT = 11


class Mode(IntEnum):
    """What UPDATEs hold: frames, numbered in their first and last pixel, or cells, numbered in their first."""

    FRAMES = 0
    CELLS = 1


@dataclass
class Reader:
    """The process and what it counts.

    ``cells`` has the last number seen of each cell; ``event_fd`` is written for each frame, and for
    damages each time that the socket was read empty.
    """

    pid: int
    counters: memoryview
    cells: memoryview
    event_fd: int
    theirs: socket.socket

    def __getitem__(self, counter: Counter) -> int:
        return int(self.counters[counter])

    def set_mode(self, mode: Mode) -> None:
        self.counters[Counter.MODE] = mode

    def close(self) -> None:
        self.theirs.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.event_fd)


def start_reader(width: int = 1280, height: int = 800) -> Reader:
    """Forks the reader of a new display socket; ``theirs`` is the backend's end."""
    shared = memoryview(mmap.mmap(-1, 8 * (MAX_COUNTERS + MAX_CELLS))).cast("Q")
    counters, cells = shared[:MAX_COUNTERS], shared[MAX_COUNTERS:]
    event_fd = os.eventfd(0, os.EFD_CLOEXEC)
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        theirs.close()
        try:
            _Process(ours, counters, cells, event_fd, (width, height)).run()
        except (ConnectionResetError, BrokenPipeError, EOFError):
            pass
        except BaseException as error:  # a child must not return into the parent's code
            sys.stderr.write(f"reader: {error!r}\n")
            counters[Counter.ERRORS] += 1
        finally:
            os._exit(0)
    ours.close()
    return Reader(pid, counters, cells, event_fd, theirs)


class _Process:
    """Small messages are parsed in ``buffer``; the pixels of large ones go into ``sink``."""

    def __init__(
        self,
        connection: socket.socket,
        counters: memoryview,
        cells: memoryview,
        event_fd: int,
        size: tuple[int, int],
    ) -> None:
        self.connection = connection
        self.counters = counters
        self.event_fd = event_fd
        self.size = size
        self.buffer = memoryview(bytearray(64 * 1024))
        self.start = 0
        self.end = 0
        self.sink = memoryview(bytearray(SINK_SIZE))
        self.first_number = 0
        self.cells = cells
        self.unreported = False
        self.replies = {
            Display.GET_PROTOCOL_FEATURES: struct.pack("=Q", 3),
            Display.GET_DISPLAY_INFO: header(ResponseType.OK_DISPLAY_INFO)
            + struct.pack("<6I", 0, 0, *size, 1, 0)
            + bytes(15 * 24),
            Display.GET_EDID: header(ResponseType.OK_EDID)
            + struct.pack("<II", 128, 0)
            + make_edid(*size).ljust(1024, b"\0"),
        }

    def fill(self, wanted: int) -> None:
        """At least ``wanted`` unread bytes in the buffer."""
        have = self.end - self.start
        if have >= wanted:
            return
        self.buffer[:have] = self.buffer[self.start : self.end]
        self.start, self.end = 0, have
        if self.unreported and not have:
            self.unreported = False
            os.eventfd_write(self.event_fd, 1)
        while self.end < wanted:
            count = self.connection.recv_into(self.buffer[self.end :])
            if count == 0:
                raise EOFError
            self.end += count

    def take(self, length: int) -> memoryview:
        self.fill(length)
        piece = self.buffer[self.start : self.start + length]
        self.start += length
        return piece

    def skip(self, length: int) -> None:
        """Reads ``length`` bytes and forgets them."""
        have = min(self.end - self.start, length)
        self.start += have
        length -= have
        receive, sink = self.connection.recv_into, self.sink
        while length >= SINK_SIZE:
            length -= receive(sink) or self._end()
        while length:
            length -= receive(sink, length) or self._end()

    def _end(self) -> int:
        raise EOFError

    def run(self) -> None:
        counters = self.counters
        while True:
            request, _, size = HEADER.unpack(self.take(HEADER.size))
            if request == Display.UPDATE:
                self.update(size)
            elif request in (Display.CURSOR_POS, Display.CURSOR_UPDATE):
                _, x, _ = struct.unpack("=III", self.take(12))
                self.skip(size - 12)
                counters[Counter.CURSOR_X] = x
                counters[Counter.CURSOR_TIME] = time.monotonic_ns()
                counters[Counter.CURSOR_MOVES] += 1
            elif request == Display.SCANOUT:
                _, width, height = struct.unpack("=III", self.take(12))
                counters[Counter.SCANOUT_WIDTH] = width
                counters[Counter.SCANOUT_HEIGHT] = height
            else:
                self.skip(size)
                reply = self.replies.get(Display(request))
                if reply is not None:
                    self.connection.sendall(HEADER.pack(request, FLAG_REPLY, len(reply)) + reply)

    def update(self, size: int) -> None:
        _, x, y, width, height = _UPDATE.unpack(self.take(UPDATE_PREFIX))
        counters = self.counters
        counters[Counter.UPDATES] += 1
        counters[Counter.PIXELS] += width * height
        if size != UPDATE_PREFIX + width * height * 4 or not width or not height:
            counters[Counter.ERRORS] += 1
            self.skip(size - UPDATE_PREFIX)
        elif counters[Counter.MODE] == Mode.CELLS:
            self.update_cells(x, y, width, height)
        else:
            self.update_frame(x, y, width, height)

    def update_frame(self, x: int, y: int, width: int, height: int) -> None:
        """A whole frame or a band of it: the frame is complete with its last row."""
        counters = self.counters
        length = width * height * 4
        if x == 0 and y == 0:
            self.first_number = self.pixel()
            length -= 4
        if y + height != counters[Counter.SCANOUT_HEIGHT]:
            self.skip(length)
            return
        self.skip(length - 4)
        number = self.pixel()
        if number != self.first_number:
            counters[Counter.ERRORS] += 1
        counters[Counter.LAST_FRAME] = number
        counters[Counter.FRAMES] += 1
        os.eventfd_write(self.event_fd, 1)

    def pixel(self) -> int:
        number: int = _PIXEL.unpack(self.take(4))[0]
        return number & COLOURS

    def update_cells(self, x: int, y: int, width: int, height: int) -> None:
        """Counts each damage whose own number is seen; a damage that was drawn over before it came
        here does not count.
        """
        row = width * 4
        columns = self.counters[Counter.SCANOUT_WIDTH] // CELL
        if width == CELL and height == CELL:
            cell = y // CELL * columns + x // CELL
            self.see(cell, self.pixel())
            self.skip(row * height - 4)
            return
        left = -(-x // CELL)
        right = (x + width) // CELL
        for line in range(y, y + height):
            pixels = self.take(row)
            if line % CELL:
                continue
            for column in range(left, right):
                number = _PIXEL.unpack_from(pixels, (column * CELL - x) * 4)[0] & COLOURS
                self.see(line // CELL * columns + column, number)

    def see(self, cell: int, number: int) -> None:
        if number < self.cells[cell]:
            self.counters[Counter.ERRORS] += 1
        elif number > self.cells[cell]:
            self.cells[cell] = number
            self.counters[Counter.DAMAGES] += 1
            self.unreported = True
