# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a memcpy, a socket and the reader achieve on this computer without any device."""

import mmap
import os
import signal
import socket
import struct
import time

from tests.driver.display import Display
from tests.driver.protocol import HEADER

from .processes import cpu_time
from .reader import UPDATE_PREFIX, Counter, start_reader


def baseline(scale: float) -> str:
    """A table for the report: frames a second and CPU for each, by send and by sendfile."""
    lines = [
        "| bare pipeline: memcpy, socket, the same reader | /s | CPU (ms each) |",
        "| --- | --- | --- |",
    ]
    for name, width, height in (("1080p", 1920, 1080), ("4k", 3840, 2160)):
        for method in ("send", "sendfile"):
            rate, cpu = _measure(width, height, method, scale)
            lines.append(f"| {name} by {method} | {rate:.0f} | {cpu:.2f} |")
    return "\n".join(lines)


def _measure(width: int, height: int, method: str, seconds: float) -> tuple[float, float]:
    reader = start_reader()
    pid = os.fork()
    if pid == 0:
        try:
            _write(reader.theirs, width, height, method)
        finally:
            os._exit(0)
    while reader[Counter.FRAMES] < 4:
        time.sleep(0.001)
    begun, frames = time.perf_counter(), reader[Counter.FRAMES]
    cpu = cpu_time(pid) + cpu_time(reader.pid)
    time.sleep(seconds)
    cpu = cpu_time(pid) + cpu_time(reader.pid) - cpu
    frames = reader[Counter.FRAMES] - frames
    taken = time.perf_counter() - begun
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    reader.close()
    return frames / taken, cpu / frames * 1e3


def _write(connection: socket.socket, width: int, height: int, method: str) -> None:
    """Copies a frame into one of two memfds in turn and writes it into the socket, for ever."""
    size = width * height * 4
    source = memoryview(mmap.mmap(-1, size))
    source[:] = b"\x55" * size
    images = []
    for _ in range(2):
        fd = os.memfd_create("image")
        os.ftruncate(fd, size)
        images.append((fd, memoryview(mmap.mmap(fd, size))))
    scanout = struct.pack("=III", 0, width, height)
    connection.sendall(HEADER.pack(Display.SCANOUT, 0, len(scanout)) + scanout)
    update = struct.pack("=5I", 0, 0, 0, width, height)
    update = HEADER.pack(Display.UPDATE, 0, UPDATE_PREFIX + size) + update
    turn = 0
    while True:
        turn ^= 1
        fd, image = images[turn]
        image[:] = source
        if method == "send":
            connection.sendall(update)
            connection.sendall(image)
            continue
        connection.sendall(update, socket.MSG_MORE)
        offset = 0
        while offset < size:
            offset += os.sendfile(connection.fileno(), fd, offset, size - offset)
