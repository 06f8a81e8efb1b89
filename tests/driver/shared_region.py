# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A VMM's shared memory region: it maps and unmaps what the backend asks for, and tells of it as of guest memory."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from .frontend import Frontend, RequestRefusedError
from .memory import GuestMemory, Region
from .protocol import DisconnectedError, Message, close_all

SHMEM_MAP = 9
SHMEM_UNMAP = 10
HOST_VISIBLE = 1
GUEST_ADDRESS = 0x80_0000_0000  # where the guest sees the region
USER_ADDRESS = 0x7C00_0000_0000
_WINDOW = struct.Struct("=B7x4Q")


@dataclass(frozen=True)
class Asked:
    """One request of the backend's, in bytes."""

    request: int
    region: int
    file_offset: int
    offset: int
    length: int
    flags: int


@dataclass
class SharedRegion:
    """Answers, in a thread of its own, until the channel or the block ends.  ``acknowledged`` are the windows that the backend
    has taken as regions of memory.

    ``tells_first``: ADD_MEM_REG and REM_MEM_REG come before the answer; otherwise after it, as with QEMU 11.1.  ``by_table``: the whole
    table comes instead, with this memory's regions first.
    ``tells_after``: seconds between the two.  ``answer`` decides what is answered, None: nothing.
    """

    frontend: Frontend
    tells_first: bool = False
    by_table: GuestMemory | None = None
    answer: Callable[[Asked], int | None] = lambda asked: 0
    asked: list[Asked] = field(default_factory=list)
    windows: dict[int, Region] = field(default_factory=dict)
    acknowledged: list[Region] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    tells_after: float = 0.0

    def __enter__(self) -> Self:
        assert self.frontend.backend_channel is not None
        self.frontend.backend_channel.settimeout(None)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        channel = self.frontend.backend_channel
        assert channel is not None
        with contextlib.suppress(OSError):
            channel.shutdown(2)
        self._thread.join()
        for region in self.windows.values():
            os.close(region.fd)
        assert not self.errors, self.errors

    def _serve(self) -> None:
        try:
            while True:
                self._carry_out(self.frontend.backend_request())
        except (DisconnectedError, OSError):
            return
        except Exception as error:
            self.errors.append(error)

    def _carry_out(self, message: Message) -> None:
        asked = Asked(message.request, *_WINDOW.unpack(message.payload))
        self.asked.append(asked)
        value = self.answer(asked)
        if value is None:
            close_all(message.fds)
            return
        if self.tells_first and not value:
            self._tell(asked, message.fds)
        self.frontend.answer_backend(message, value)
        if value:
            close_all(message.fds)
        elif not self.tells_first:
            time.sleep(self.tells_after)
            self._tell(asked, message.fds)

    def _tell(self, asked: Asked, fds: tuple[int, ...]) -> None:
        if asked.request == SHMEM_UNMAP:
            region = self.windows.pop(asked.offset)
            assert (region.size, fds) == (asked.length, ())
            if region in self.acknowledged:
                self.acknowledged.remove(region)
                self._change(lambda: self.frontend.remove_region(region))
            os.close(region.fd)
            return
        (fd,) = fds
        region = Region(
            GUEST_ADDRESS + asked.offset,
            asked.length,
            USER_ADDRESS + asked.offset,
            fd,
            asked.file_offset,
            memoryview(b""),
        )
        if before := self.windows.get(
            asked.offset
        ):  # it has refused to unmap it, and lets it go now
            os.close(before.fd)
        self.windows[asked.offset] = region
        with contextlib.suppress(RequestRefusedError):
            self._change(lambda: self.frontend.add_region(region))
            self.acknowledged.append(region)

    def start(self) -> None:
        """When the device starts again, QEMU needs every region to be acknowledged."""
        for region in self.windows.values():
            if region not in self.acknowledged:
                self.frontend.add_region(region)
                self.acknowledged.append(region)

    def _change(self, otherwise: Callable[[], None]) -> None:
        if self.by_table is None:
            otherwise()
        else:
            self.frontend.set_mem_table([*self.by_table.regions, *self.windows.values()])
