# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""QEMU's end of the display socket: answers as QEMU does, keeps the pictures, notes what would crash QEMU."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar

from .commands import ResponseType, header
from .protocol import DisconnectedError, Message, close_all, receive_message, send_message

FLAG_REPLY = 1 << 2
MAX_SCANOUTS = 16
CURSOR_SIDE = 64


class Display(IntEnum):
    """The socket's messages."""

    GET_PROTOCOL_FEATURES = 1
    SET_PROTOCOL_FEATURES = 2
    GET_DISPLAY_INFO = 3
    CURSOR_POS = 4
    CURSOR_POS_HIDE = 5
    CURSOR_UPDATE = 6
    SCANOUT = 7
    UPDATE = 8
    DMABUF_SCANOUT = 9
    DMABUF_UPDATE = 10
    GET_EDID = 11
    DMABUF_SCANOUT2 = 12


@dataclass(frozen=True)
class Update:
    """One UPDATE, without its pixels."""

    scanout_id: int
    x: int
    y: int
    width: int
    height: int


@dataclass
class Picture:
    """What QEMU shows of one scanout: rows of ``width`` pixels, each blue, green, red, (unused), without gaps."""

    width: int
    height: int
    pixels: bytearray = field(repr=False)

    def pixel(self, x: int, y: int) -> tuple[int, int, int]:
        """Red, green, blue."""
        start = (y * self.width + x) * 4
        blue, green, red = self.pixels[start : start + 3]
        return red, green, blue

    def rows(self, x: int, y: int, width: int, height: int) -> bytes:
        """A rectangle's pixels."""
        starts = [((y + row) * self.width + x) * 4 for row in range(height)]
        return b"".join(self.pixels[start : start + width * 4] for start in starts)


@dataclass(frozen=True)
class Buffer:
    """One DMABUF_SCANOUT or DMABUF_SCANOUT2; ``modifier`` only of the latter.  ``file``: its inode."""

    scanout_id: int
    x: int
    y: int
    width: int
    height: int
    fd_width: int
    fd_height: int
    fd_stride: int
    fd_flags: int
    fd_drm_fourcc: int
    modifier: int | None
    file: int
    pixels: bytes = field(repr=False)
    """All of the file, as it was then."""

    LAYOUT: ClassVar = (
        *("scanout_id", "x", "y", "width", "height"),
        *("fd_width", "fd_height", "fd_stride", "fd_flags", "fd_drm_fourcc"),
    )


@dataclass
class Cursor:
    scanout_id: int
    x: int
    y: int
    visible: bool
    hot_x: int = 0
    hot_y: int = 0
    pixels: bytes = b""


class DisplayServer:
    """Serves one display socket in a thread.  ``theirs`` is the end that goes to the backend.

    ``outputs``: width and height of each enabled head.  ``violations`` has a line for all that would crash or
    abort QEMU; tests want it empty.
    """

    def __init__(
        self,
        outputs: Sequence[tuple[int, int]] = ((1280, 800),),
        *,
        protocol_features: int = 3,
        delay: float = 0.0,
        answers: bool = True,
        shows: bool = True,
    ) -> None:
        """``delay``: seconds before each message is read; ``answers`` false: requests get no reply.

        ``shows`` false: frames in DMA buffers are shown, and answered, at :meth:`show_frame`.
        """
        self.outputs = list(outputs)
        self.protocol_features = protocol_features
        self.delay = delay
        self.answers = answers
        self.pictures: dict[int, Picture] = {}
        self.updates: list[Update] = []
        self.messages: list[int] = []
        self.cursors: dict[int, Cursor] = {}
        self.buffers: dict[int, Buffer] = {}
        self.frames: list[Update] = []
        self.shows = shows
        self.unanswered_frames = 0
        self.violations: list[str] = []
        self.closed = False
        self._connection, self.theirs = socket.socketpair()
        self._changed = threading.Condition()
        self._reading = threading.Event()
        self._reading.set()
        self._thread = threading.Thread(target=self._serve, name="display", daemon=True)
        self._begin()

    def _begin(self) -> None:
        """From now on messages are served."""
        self._thread.start()

    def close(self) -> None:
        """QEMU closes the socket: at stop, at reset, when it exits."""
        self._reading.set()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(5)
        self._connection.close()
        self.theirs.close()

    def pause(self) -> None:
        """Stops reading, after the message in progress."""
        self._reading.clear()

    def resume(self) -> None:
        self._reading.set()

    def unread(self) -> int:
        """Bytes that have come and wait, as while it is paused."""
        count = fcntl.ioctl(self._connection, termios.FIONREAD, bytes(4))
        return int.from_bytes(count, sys.byteorder)

    def wait_for(self, condition: Callable[[], Any], timeout: float = 5.0) -> bool:
        """Whether ``condition`` came true within ``timeout`` seconds; it is looked at after each message."""
        with self._changed:
            return bool(self._changed.wait_for(condition, timeout))

    def wait_for_picture(
        self, scanout_id: int, pixels: bytes | bytearray, timeout: float = 5.0
    ) -> bool:
        """Whether the scanout shows exactly ``pixels`` (their fourth bytes are not looked at) in time."""
        wanted = colours(pixels)

        def shown() -> bool:
            picture = self.pictures.get(scanout_id)
            return picture is not None and colours(picture.pixels) == wanted

        return self.wait_for(shown, timeout)

    def _serve(self) -> None:
        try:
            while True:
                self._reading.wait()
                if self.delay:
                    time.sleep(self.delay)
                self._serve_one()
        except (DisconnectedError, OSError):
            pass
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _serve_one(self) -> None:
        message = receive_message(self._connection)
        if not self._reading.is_set():
            self._reading.wait()
        self._take(message)

    def _take(self, message: Message) -> None:
        with self._changed:
            self.messages.append(message.request)
            handler = self._HANDLERS.get(message.request)
            if handler is None:
                self.violations.append(f"unknown message {message.request}")
            else:
                handler(self, message.payload, message.fds)
            self._changed.notify_all()
        close_all(message.fds)

    def _reply(self, request: Display, payload: bytes) -> None:
        if self.answers:
            send_message(self._connection, request, FLAG_REPLY, payload)

    def _get_protocol_features(self, payload: bytes, fds: tuple[int, ...]) -> None:
        self._reply(Display.GET_PROTOCOL_FEATURES, struct.pack("=Q", self.protocol_features))

    def _set_protocol_features(self, payload: bytes, fds: tuple[int, ...]) -> None:
        if struct.unpack("=Q", payload)[0] & ~self.protocol_features:
            self.violations.append("protocol features that were not offered")

    def _get_display_info(self, payload: bytes, fds: tuple[int, ...]) -> None:
        modes = [struct.pack("<6I", 0, 0, *size, 1, 0) for size in self.outputs]
        modes += [bytes(24)] * (MAX_SCANOUTS - len(modes))
        self._reply(
            Display.GET_DISPLAY_INFO, header(ResponseType.OK_DISPLAY_INFO) + b"".join(modes)
        )

    def _get_edid(self, payload: bytes, fds: tuple[int, ...]) -> None:
        (scanout_id,) = struct.unpack("=I", payload)
        if scanout_id >= len(self.outputs):
            return
        edid = make_edid(*self.outputs[scanout_id])
        fields = struct.pack("<II", len(edid), 0)
        self._reply(
            Display.GET_EDID, header(ResponseType.OK_EDID) + fields + edid.ljust(1024, b"\0")
        )

    def _cursor_pos(self, payload: bytes, fds: tuple[int, ...]) -> None:
        self._move_cursor(payload, True)

    def _cursor_pos_hide(self, payload: bytes, fds: tuple[int, ...]) -> None:
        self._move_cursor(payload, False)

    def _move_cursor(self, payload: bytes, visible: bool) -> None:
        scanout_id, x, y = struct.unpack("=III", payload)
        cursor = self.cursors.setdefault(scanout_id, Cursor(scanout_id, x, y, visible))
        cursor.x, cursor.y, cursor.visible = x, y, visible

    def _cursor_update(self, payload: bytes, fds: tuple[int, ...]) -> None:
        scanout_id, x, y, hot_x, hot_y = struct.unpack_from("=5I", payload)
        pixels = payload[20:]
        if len(pixels) != CURSOR_SIDE * CURSOR_SIDE * 4:
            self.violations.append(f"a cursor of {len(pixels)} bytes")
        self.cursors[scanout_id] = Cursor(scanout_id, x, y, True, hot_x, hot_y, pixels)

    def _scanout(self, payload: bytes, fds: tuple[int, ...]) -> None:
        scanout_id, width, height = struct.unpack("=III", payload)
        if scanout_id >= MAX_SCANOUTS:
            self.violations.append(f"SCANOUT of scanout {scanout_id}")
        if width == 0:
            self.pictures.pop(scanout_id, None)
            return
        if height == 0:
            self.violations.append("SCANOUT with a width and no height")
        self.pictures[scanout_id] = Picture(width, height, bytearray(width * height * 4))

    def _update(self, payload: bytes, fds: tuple[int, ...]) -> None:
        update = Update(*struct.unpack_from("=5I", payload))
        self.updates.append(update)
        picture = self.pictures.get(update.scanout_id)
        if picture is None:
            self.violations.append(f"UPDATE of scanout {update.scanout_id} before its SCANOUT")
            return
        row = update.width * 4
        if len(payload) != 20 + row * update.height:
            self.violations.append(f"{update} with {len(payload) - 20} bytes")
            return
        if update.x + update.width > picture.width or update.y + update.height > picture.height:
            self.violations.append(f"{update} outside {picture}")
            return
        for index in range(update.height):
            start = ((update.y + index) * picture.width + update.x) * 4
            source = 20 + index * row
            picture.pixels[start : start + row] = payload[source : source + row]

    def _dmabuf_scanout(self, payload: bytes, fds: tuple[int, ...]) -> None:
        self._take_buffer(payload, fds, None)

    def _dmabuf_scanout2(self, payload: bytes, fds: tuple[int, ...]) -> None:
        if not self.protocol_features & 2:
            self.violations.append("DMABUF_SCANOUT2 to a display that has not offered it")
        self._take_buffer(payload[:40], fds, struct.unpack_from("=Q", payload, 40)[0])

    def _take_buffer(self, payload: bytes, fds: tuple[int, ...], modifier: int | None) -> None:
        numbers: dict[str, Any] = dict(
            zip(Buffer.LAYOUT, struct.unpack("=10I", payload), strict=True)
        )
        scanout_id = numbers["scanout_id"]
        self.pictures.pop(scanout_id, None)  # the next pixels need a SCANOUT
        if not fds:
            self.buffers.pop(scanout_id, None)
            return
        file = os.fstat(fds[0])
        self.buffers[scanout_id] = Buffer(
            **numbers,
            modifier=modifier,
            file=file.st_ino,
            pixels=os.pread(fds[0], file.st_size, 0),
        )

    def _dmabuf_update(self, payload: bytes, fds: tuple[int, ...]) -> None:
        update = Update(*struct.unpack("=5I", payload))
        buffer = self.buffers.get(update.scanout_id)
        if buffer is None:
            self.violations.append(f"DMABUF_UPDATE of scanout {update.scanout_id} without a buffer")
        elif update.x + update.width > buffer.width or update.y + update.height > buffer.height:
            self.violations.append(f"{update} outside {buffer}")
        if self.unanswered_frames:
            self.violations.append("DMABUF_UPDATE before the reply to the one before")
        self.frames.append(update)
        self.unanswered_frames += 1
        if self.shows:
            self._answer_frame()

    def _answer_frame(self) -> None:
        self.unanswered_frames -= 1
        self._reply(Display.DMABUF_UPDATE, b"")

    def show_frame(self) -> None:
        """Answers the frame that waits."""
        with self._changed:
            self._answer_frame()

    def reply(self, request: int, payload: bytes) -> None:
        """Says what nobody has asked for."""
        send_message(self._connection, request, FLAG_REPLY, payload)

    _HANDLERS: ClassVar[dict[int, Callable[[DisplayServer, bytes, tuple[int, ...]], None]]] = {
        Display.GET_PROTOCOL_FEATURES: _get_protocol_features,
        Display.SET_PROTOCOL_FEATURES: _set_protocol_features,
        Display.GET_DISPLAY_INFO: _get_display_info,
        Display.CURSOR_POS: _cursor_pos,
        Display.CURSOR_POS_HIDE: _cursor_pos_hide,
        Display.CURSOR_UPDATE: _cursor_update,
        Display.SCANOUT: _scanout,
        Display.UPDATE: _update,
        Display.DMABUF_SCANOUT: _dmabuf_scanout,
        Display.DMABUF_UPDATE: _dmabuf_update,
        Display.GET_EDID: _get_edid,
        Display.DMABUF_SCANOUT2: _dmabuf_scanout2,
    }


def colours(pixels: bytes | bytearray) -> tuple[bytes, bytes, bytes]:
    """Blue, green and red of x8r8g8b8 pixels: the fourth byte is nobody's."""
    return bytes(pixels[0::4]), bytes(pixels[1::4]), bytes(pixels[2::4])


def make_edid(width: int, height: int) -> bytes:
    """128 bytes of EDID 1.4 whose preferred mode is ``width`` by ``height`` at 60 Hz."""
    blank = 160
    clock = (width + blank) * (height + 35) * 60 // 10_000
    timing = struct.pack(
        "<H10B6x",
        min(clock, 0xFFFF),
        width & 0xFF,
        blank,
        width >> 8 << 4,
        height & 0xFF,
        35,
        height >> 8 << 4,
        48,
        32,
        0x35,
        0,
    )
    block = bytes.fromhex("00ffffffffffff00") + bytes(46) + timing
    block += bytes(126 - len(block))
    return block + bytes([0, -sum(block) & 0xFF])


__all__ = [
    "Buffer",
    "Cursor",
    "Display",
    "DisplayServer",
    "Picture",
    "Update",
    "colours",
    "make_edid",
]
