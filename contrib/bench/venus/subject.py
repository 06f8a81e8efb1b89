# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""vgpud, by a driver and a VMM of our own that lose no time."""

from __future__ import annotations

import os
import struct
import time
from contextlib import ExitStack
from pathlib import Path

from tests.driver import commands, commands_3d
from tests.driver.backend import Backend, Machine
from tests.driver.closing import Closing
from tests.driver.commands import ResponseType
from tests.driver.frontend import GENERIC_FEATURES, QEMU_PROTOCOL, Feature, Protocol
from tests.driver.memory import PAGE, GuestMemory, MiB
from tests.driver.queue import NoResponseError, Queue
from tests.driver.rings import VIRTQ_DESC_F_INDIRECT
from tests.driver.shared_region import SharedRegion

from ..prepared import TABLE_SIZE, PreparedQueue, WrongResponseError, table
from .library import VENUS, map_file
from .recording import Create
from .replay import QUEUE_RING

CONTEXT = 1
FEATURES = GENERIC_FEATURES | Feature.VIRGL | Feature.CONTEXT_INIT
REQUEST_ROOM = MiB
RESPONSE_ROOM = commands.MAP_INFO_SIZE
FENCE_SPINS, SPINS = 1 << 20, 500
_LENGTH = struct.Struct("<I")


class OneAtATime(PreparedQueue):
    """Two chains: the one has any request, written when it is made available, and the other an empty stream with a fence."""

    ANY, FENCE = range(2)

    def __init__(self, queue: Queue) -> None:
        fence = commands_3d.submit_3d(CONTEXT, b"", 1, QUEUE_RING)
        super().__init__(queue, [bytes(REQUEST_ROOM), fence])
        views = [queue.memory.view(response, 4) for response in self.responses]
        self._types = [view.cast("I") for view in views]

    def _prepare(self, head: int, request: bytes) -> int:
        memory = self.queue.memory
        response = memory.put(bytes(RESPONSE_ROOM))
        address = memory.put(request)
        written = memory.put(table(address, len(request), response, RESPONSE_ROOM))
        if head == self.ANY:
            self._request = memory.view(address, REQUEST_ROOM)
            self._length = memory.view(written + 8, 4)
        self.ring.write_descriptor(head, written, TABLE_SIZE, VIRTQ_DESC_F_INDIRECT)
        return response

    def ask(self, request: bytes) -> None:
        """A request that has to succeed; what is under way is waited for as well."""
        self._request[: len(request)] = request
        self._length[:] = _LENGTH.pack(len(request))
        self.offer(self.ANY)
        self._spin(SPINS)
        self._check(self.ANY)

    def fence(self) -> None:
        self.offer(self.FENCE)

    def passed(self) -> None:
        """The fence, or it is waited for."""
        self._spin(FENCE_SPINS)
        self._check(self.FENCE)

    def _spin(self, spins: int) -> None:
        """Until all is done; after a while the VMM's thread in this process may want to do something."""
        used, target = self.used, self.idx
        for _ in range(spins):
            if used[1] == target:
                break
        end = time.monotonic() + 10
        while used[1] != target:
            time.sleep(0)
            if time.monotonic() > end:
                raise NoResponseError("no answer in 10 s")

    def _check(self, chain: int) -> None:
        """Only the type, since this is within what is measured: Python takes 2 µs to read a whole response."""
        answered = self._types[chain][0]
        self._types[chain][0] = 0
        if not ResponseType.OK_NODATA <= answered < ResponseType.ERR_UNSPEC:
            raise WrongResponseError(f"{answered:#x}")


class VgpudHost(Closing):
    """A machine whose guest is this process; ``command`` starts vgpud."""

    def __init__(self, command: list[str]) -> None:
        def arguments(socket_path: Path) -> list[str | Path]:
            options = ("--gpu-mode", "virglrenderer", "--capset", "venus")
            return [*command, "--socket-path", socket_path, *options]

        frontend = {
            "wanted_features": FEATURES,
            "wanted_protocol": QEMU_PROTOCOL | Protocol.SHMEM,
            "timeout": 30,
        }
        with ExitStack() as stack:
            self.backend = stack.enter_context(Backend(arguments))
            machine = stack.enter_context(
                Machine(
                    self.backend.socket_path,
                    memory=GuestMemory(16 * MiB),
                    headless=True,
                    guest={"event_idx": True, "indirect": True, "timeout": 30},
                    frontend=frontend,
                )
            )
            self._region = stack.enter_context(SharedRegion(machine.frontend))
            machine.guest.display_info()
            self._queue = OneAtATime(machine.guest.control)
            self._owned = stack.pop_all()
        self._blobs: set[int] = set()
        self._next = 0

    def close(self) -> None:
        self._owned.close()

    def begin(self) -> None:
        self._queue.ask(commands_3d.ctx_create(CONTEXT, b"bench", VENUS))

    def create(self, blob: Create) -> memoryview:
        self._queue.ask(
            commands.resource_create_blob(
                blob.resource_id,
                blob.size,
                [],
                blob_mem=blob.blob_mem,
                blob_flags=blob.blob_flags,
                blob_id=blob.blob_id,
                ctx_id=CONTEXT,
            )
        )
        self._queue.ask(commands_3d.ctx_attach_resource(CONTEXT, blob.resource_id))
        offset, self._next = self._next, self._next + -(-blob.size // PAGE) * PAGE
        self._queue.ask(commands.resource_map_blob(blob.resource_id, offset))
        self._blobs.add(blob.resource_id)
        window = self._region.windows[offset]
        return map_file(os.dup(window.fd), window.mmap_offset, blob.size)

    def unref(self, resource_id: int) -> None:
        self._blobs.remove(resource_id)
        self._queue.ask(commands.resource_unmap_blob(resource_id))
        self._queue.ask(commands_3d.ctx_detach_resource(CONTEXT, resource_id))
        self._queue.ask(commands.resource_unref(resource_id))

    def submit(self, stream: bytes) -> None:
        self._queue.ask(commands_3d.submit_3d(CONTEXT, stream))

    def fence(self) -> None:
        self._queue.fence()

    def wait(self) -> None:
        self._queue.passed()

    def end(self) -> None:
        for resource_id in tuple(self._blobs):
            self.unref(resource_id)
        self._queue.ask(commands_3d.ctx_destroy(CONTEXT))
        self._next = 0
