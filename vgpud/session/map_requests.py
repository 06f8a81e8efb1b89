# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a device process wants mapped and unmapped, one request after another. The order matters: a
guest unmaps a blob and maps another there, and a guest that has started again must find nothing
from before.
"""

import errno
import os
from collections import deque
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import trio
from loguru import logger

from vgpud.link.codec import LinkClosedError
from vgpud.link.fields import LinkError
from vgpud.link.limited_log import LimitedLog
from vgpud.link.messages import Answer, MapBlob, UnmapBlob
from vgpud.link.trio_connection import TrioConnection
from vgpud.session.shared_memory import SharedMemory

# A guest can have at most as many commands in flight as its queue has entries.
MAXIMUM_WAITING = 1024
MAX_U64 = (1 << 64) - 1


class _Asked(NamedTuple):
    """``descriptor`` is -1 for a request that needs none."""

    link: TrioConnection
    request: MapBlob | UnmapBlob
    descriptor: int


class _Gone(NamedTuple):
    """A destroyed resource, which may still be mapped."""

    resource_id: int


class _Reset(NamedTuple):
    """The guest has started again."""


class MapRequests:
    """Owns the descriptors of waiting requests."""

    def __init__(self, shared: SharedMemory) -> None:
        self._shared = shared
        self._waiting: deque[_Asked | _Gone | _Reset] = deque()
        self._more = trio.Event()
        self._log = LimitedLog(partial(logger.warning, "{}"))

    def ask(
        self, link: TrioConnection, request: MapBlob | UnmapBlob, descriptors: list[int]
    ) -> None:
        """Takes the descriptor; the answer goes to ``link``, unless that is closed by then.
        ``LinkError`` when no honest process would ask this.
        """
        if max(request) > MAX_U64:
            raise LinkError(f"no guest can have asked for {request}")
        if len(self._waiting) >= MAXIMUM_WAITING:
            raise LinkError("more mappings than a guest can ask for")
        self._add(_Asked(link, request, descriptors.pop() if descriptors else -1))

    def resource_gone(self, resource_id: int) -> None:
        """Unmaps the resource, if it is mapped."""
        asked = any(self._maps(one, resource_id) for one in self._waiting)
        if asked or self._shared.region.of(resource_id) is not None:
            self._add(_Gone(resource_id))

    @staticmethod
    def _maps(waiting: "_Asked | _Gone | _Reset", resource_id: int) -> bool:
        return isinstance(waiting, _Asked) and waiting.request.resource_id == resource_id

    def reset(self) -> None:
        """Drops waiting requests, and unmaps everything before anything else is done."""
        self.close()
        if len(self._shared.region):
            self._add(_Reset())

    def _add(self, one: "_Asked | _Gone | _Reset") -> None:
        self._waiting.append(one)
        self._more.set()

    async def run(self) -> None:
        """Never returns."""
        while True:
            while self._waiting:
                await self._shared.running()
                # A reset may have emptied the list meanwhile.
                if self._waiting:
                    await self._carry_out(self._waiting.popleft())
            self._more = trio.Event()
            await self._more.wait()

    async def _carry_out(self, one: "_Asked | _Gone | _Reset") -> None:
        if isinstance(one, _Asked):
            error = await self._answer_to(one)
            # The process that asked may have died meanwhile.
            with suppress(LinkClosedError):
                await one.link.send(Answer(one.request.request, error, b""))
        elif isinstance(one, _Gone):
            with suppress(OSError):
                await self._shared.unmap(one.resource_id)
        else:
            await self._shared.unmap_all()

    async def _answer_to(self, asked: _Asked) -> int:
        """0, or an errno."""
        try:
            await self._try(asked)
        except OSError as error:
            self._log.write(f"resource {asked.request.resource_id}: {error.strerror}")
            return error.errno or errno.EIO
        finally:
            if asked.descriptor >= 0:
                os.close(asked.descriptor)
        return 0

    async def _try(self, asked: _Asked) -> None:
        request = asked.request
        if isinstance(request, UnmapBlob):
            await self._shared.unmap(request.resource_id)
            return
        await self._shared.map(
            request.resource_id,
            request.offset,
            request.length,
            asked.descriptor,
            request.file_offset,
        )

    def close(self) -> None:
        """Drops waiting requests: neither the guest nor the process that asked waits for them."""
        for one in self._waiting:
            if isinstance(one, _Asked) and one.descriptor >= 0:
                os.close(one.descriptor)
        self._waiting.clear()
