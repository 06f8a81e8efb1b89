# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m contrib.bench.venus.record FILE COMMAND…`` lets a Vulkan program run, and writes what its driver has sent.

The program's driver is Mesa's Venus, which speaks vtest to this process instead of virtio-gpu to a kernel (`VN_DEBUG=vtest`); this process has
libvirglrenderer carry all of it out.  What goes through memory goes through here as well: the driver is given a ring, and device memory, of this
process's, and what it writes there is noted and copied to where the worker looks.

    tests/e2e/host/enter env PYTHONPATH=/home python3 -m contrib.bench.venus.record /tmp/frames.xz /tmp/frames 1024 4000 60

A frame ends when the fence that the program waits for has passed.  `frames.c` is the program; with libvulkan-dev and glslang-tools:

    glslangValidator -V --vn compute_spirv -o compute.spirv.h tests/e2e/guest/compute.comp
    gcc -O2 -I. -Itests/e2e/guest contrib/bench/venus/frames.c -lvulkan -o /tmp/frames
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .library import VENUS, Library, map_file
from .recording import (
    Commands,
    Create,
    Event,
    Expect,
    Frame,
    MakeRing,
    Poll,
    Submit,
    Unref,
    Write,
    digest,
    save,
)
from .ring import Layout, Ring, VenusCommand, WrongStreamError, command_of, created_ring

CONTEXT = 1
PAGE = 4096
HEADER = struct.Struct("=II")
BATCH = struct.Struct("=6I")
BLOB_MEM_HOST3D = 2
VERSION = 3
NAP = 20e-6
# The driver waits for a fence by asking the worker, not by looking at memory that the worker writes: that can be done again.
ENVIRONMENT = {
    "VK_DRIVER_FILES": "/usr/share/vulkan/icd.d/virtio_icd.json",
    "VN_DEBUG": "vtest",
    "VN_PERF": "no_fence_feedback,no_semaphore_feedback,no_multi_ring",
}
_REPLY = struct.Struct("<IIQIQQ")
_STATUS = struct.Struct("<IIQQ")
_ASKING = _REPLY.size + _STATUS.size


class Shared:
    """Memory of a blob's that the driver writes, and where the worker has it, when that is not the same."""

    def __init__(self, drivers: memoryview, workers: memoryview | None) -> None:
        self.drivers, self.workers = drivers, workers
        self._seen = bytes(drivers)

    def written(self) -> list[tuple[int, bytes]]:
        """What the driver has written since the last look, now copied to the worker's."""
        now = bytes(self.drivers)
        if now == self._seen:
            return []
        found = _differences(self._seen, now)
        self._seen = now
        if self.workers is not None:
            for offset, data in found:
                self.workers[offset : offset + len(data)] = data
        return found

    def take_back(self) -> None:
        """What the worker has written, for the driver."""
        if self.workers is None:
            return
        now = bytes(self.workers)
        if now == self._seen:
            return
        for offset, data in _differences(self._seen, now):
            self.drivers[offset : offset + len(data)] = data
        self._seen = now


def _differences(before: bytes, now: bytes) -> list[tuple[int, bytes]]:
    """By pages, without what is the same at their ends."""
    found = []
    for begin in range(0, len(now), PAGE):
        old, new = before[begin : begin + PAGE], now[begin : begin + PAGE]
        if old == new:
            continue
        first = next(at for at in range(len(new)) if old[at] != new[at])
        last = next(at for at in reversed(range(len(new))) if old[at] != new[at])
        found.append((begin + first, new[first : last + 1]))
    return found


def _asks_for_status(data: bytes) -> bool:
    """Whether the commands end with vkGetFenceStatus, and a reply is wanted."""
    if len(data) < _STATUS.size:
        return False
    command, flags, _, _ = _STATUS.unpack_from(data, len(data) - _STATUS.size)
    return (command, flags) == (VenusCommand.GET_FENCE_STATUS, 1)


class ProxyRing:
    """The driver's ring and the worker's."""

    def __init__(self, layout: Layout, drivers: memoryview, workers: Ring) -> None:
        self.drivers = Ring(layout, drivers, lambda stream: None)
        self.workers = workers
        self.reply: tuple[int, int] | None = None
        """Where replies go: a blob, and an offset there."""

    def take(self) -> bytes:
        """What the driver has written meanwhile."""
        begin, end = self.workers.tail[0], self.drivers.tail[0]
        size = self.drivers.layout.size
        return bytes(self.drivers.buffer[at % size] for at in range(begin, end))

    def answer(self) -> None:
        self.drivers.status[0] = self.workers.status[0]
        self.drivers.head[0] = self.workers.head[0]


class Recorder:
    """One client, until it goes."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.library = Library()
        self.events: list[Event] = []
        self._next = 1
        self._shared: dict[int, Shared] = {}
        self._rings: dict[int, ProxyRing] = {}
        self._workers: dict[int, memoryview] = {}
        self._replies: set[int] = set()
        self._handlers: dict[int, Callable[[int], None]] = {
            3: self._unref,
            7: self._busy_wait,
            8: self._create_renderer,
            10: lambda words: self._send(10),
            11: self._protocol_version,
            15: self._get_param,
            16: self._get_capset,
            17: lambda words: self._init_context(self._words(1)),
            18: self._create_blob,
            24: self._submit,
        }

    def run(self) -> None:
        while True:
            self.look()
            if not select.select([self.connection], [], [], NAP)[0]:
                continue
            if not (head := self.connection.recv(HEADER.size, socket.MSG_WAITALL)):
                break
            words, command = HEADER.unpack(head)
            if command not in self._handlers:
                raise NotImplementedError(f"vtest command {command} of {words} words")
            self.look()
            self._handlers[command](words)
        self._note_results()
        self.library.close()

    # --- what goes through memory

    def look(self) -> None:
        for ring in self._rings.values():
            if data := ring.take():
                self._note_written()
                self._note_commands(ring, data)
                ring.workers.write(data)
            if ring.workers.head[0] != ring.drivers.head[0]:
                for shared in self._shared.values():
                    shared.take_back()
            ring.answer()

    def _note_written(self) -> None:
        for resource_id, shared in self._shared.items():
            for offset, data in shared.written():
                if resource_id not in self._replies:
                    self.events.append(Write(resource_id, offset, data))

    def _note_commands(self, ring: ProxyRing, data: bytes) -> None:
        """What asks for a fence's status is noted apart, and once for a fence however often it was asked."""
        resource_id = ring.drivers.layout.resource_id
        self._note_reply(ring, data)
        if ring.reply is None or not _asks_for_status(data):
            self.events.append(Commands(resource_id, data))
            return
        if isinstance(last := self.events[-1], Commands):
            data = last.data + data
            self.events.pop()
        data, asking = data[:-_ASKING], data[-_ASKING:]
        if command_of(asking) != VenusCommand.SET_REPLY_COMMAND_STREAM:
            raise WrongStreamError("a reply without a place for it")
        if data:
            self.events.append(Commands(resource_id, data))
        before = self.events[-2] if isinstance(self.events[-1], Frame) else None
        if isinstance(before, Poll) and before.data[-_STATUS.size :] == asking[-_STATUS.size :]:
            return
        self.events += [Poll(resource_id, asking, *ring.reply), Frame()]

    def _note_reply(self, ring: ProxyRing, data: bytes) -> None:
        for at in range(0, len(data) - _REPLY.size + 1, 4):
            command, flags, pointer, resource_id, offset, _ = _REPLY.unpack_from(data, at)
            known = resource_id in self._shared or resource_id in self._replies
            head = (VenusCommand.SET_REPLY_COMMAND_STREAM, 0, 1)
            if (command, flags, pointer) == head and known:
                self._replies.add(resource_id)
                ring.reply = (resource_id, offset)

    def _note_results(self) -> None:
        """What the worker has left in memory that is proxied."""
        for resource_id, shared in self._shared.items():
            if shared.workers is not None:
                self.events.append(Expect(resource_id, digest(shared.workers)))

    # --- vtest

    def _words(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"={count}I", self._bytes(4 * count))

    def _bytes(self, length: int) -> bytes:
        return self.connection.recv(length, socket.MSG_WAITALL) if length else b""

    def _send(self, command: int, *words: int, more: bytes = b"") -> None:
        payload = struct.pack(f"={len(words)}I", *words) + more
        self.connection.sendall(HEADER.pack(len(payload) // 4, command) + payload)

    def _create_renderer(self, length: int) -> None:
        self._bytes(length)

    def _busy_wait(self, words: int) -> None:
        self._words(words)
        self._send(7, 0)

    def _protocol_version(self, words: int) -> None:
        (wanted,) = self._words(1)
        self._send(11, min(wanted, VERSION))

    def _get_param(self, words: int) -> None:
        """1: how many timelines a context has."""
        (parameter,) = self._words(1)
        self._send(15, int(parameter == 1), 64 if parameter == 1 else 0)

    def _get_capset(self, words: int) -> None:
        wanted, _ = self._words(2)
        self._send(16, int(wanted == VENUS), more=self.library.capset())

    def _init_context(self, words: tuple[int, ...]) -> None:
        self.library.create_context(CONTEXT)

    def _create_blob(self, words: int) -> None:
        _, flags, *halves = self._words(6)
        size, blob_id = halves[0] | halves[1] << 32, halves[2] | halves[3] << 32
        resource_id, self._next = self._next, self._next + 1
        self.events.append(Create(resource_id, BLOB_MEM_HOST3D, flags, size, blob_id))
        self.library.create_blob(CONTEXT, resource_id, BLOB_MEM_HOST3D, flags, size, blob_id)
        fd, offset = self.library.export(resource_id)
        # A ring is no multiple of pages long; what else has no driver's page in front is shared as it is.
        proxied = bool(offset or size % PAGE)
        workers = map_file(os.dup(fd) if not proxied else fd, offset, size)
        if proxied:
            fd = os.memfd_create("drivers")
            os.ftruncate(fd, size)
        drivers = map_file(os.dup(fd), 0, size)
        self._workers[resource_id] = workers
        self._shared[resource_id] = Shared(drivers, workers if proxied else None)
        self._send(18, resource_id)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.connection.sendmsg([b"\0"], rights)
        os.close(fd)

    def _unref(self, words: int) -> None:
        (resource_id,) = self._words(1)
        self.events.append(Unref(resource_id))
        self._shared.pop(resource_id, None)
        self._rings.pop(resource_id, None)
        self.library.unref(CONTEXT, resource_id)

    def _submit(self, words: int) -> None:
        data = self._bytes(4 * words)
        (count,) = struct.unpack_from("=I", data)
        for index in range(count):
            _, offset, size, _, syncs, _ = BATCH.unpack_from(data, 4 + index * BATCH.size)
            if syncs:
                raise NotImplementedError("a batch with synchronization objects")
            self._submit_stream(data[4 * offset : 4 * (offset + size)])

    def _submit_stream(self, stream: bytes) -> None:
        # Whoever replays it notifies by itself.
        if command_of(stream) != VenusCommand.NOTIFY_RING:
            self._note_written()
            self.events.append(Submit(stream))
        self.library.submit(CONTEXT, stream)
        if command_of(stream) == VenusCommand.CREATE_RING:
            self._make_ring(created_ring(stream))

    def _make_ring(self, layout: Layout) -> None:
        shared = self._shared.pop(layout.resource_id)
        workers = Ring(
            layout,
            self._workers[layout.resource_id],
            lambda stream: self.library.submit(CONTEXT, stream),
        )
        self._rings[layout.resource_id] = ProxyRing(layout, shared.drivers, workers)
        self.events.append(MakeRing(**layout.as_json()))


def record(command: list[str]) -> list[Event]:
    with tempfile.TemporaryDirectory(prefix="vgpud-bench-") as folder:
        path = str(Path(folder, "vtest"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            environment = os.environ | ENVIRONMENT | {"VTEST_SOCKET_NAME": path}
            with subprocess.Popen(command, env=environment):
                connection, _ = listener.accept()
                with connection:
                    recorder = Recorder(connection)
                    recorder.run()
    return recorder.events


def main() -> None:
    target, *command = sys.argv[1:]
    events = record(command)
    save(Path(target), events)
    print(f"{len(events)} events, {sum(isinstance(event, Frame) for event in events)} frames")


if __name__ == "__main__":
    main()
