# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One peer that runs, with everything around it."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, nullcontext, suppress

from tests.driver.backend import Backend
from tests.driver.closing import Closing
from tests.driver.frontend import GENERIC_FEATURES, Feature, Frontend
from tests.driver.gpu import CommandFailedError, Guest, Resource
from tests.driver.memory import GuestMemory, MiB

from .peers import Peer
from .processes import cpu_time, cpu_time_of_tree
from .reader import Reader, start_reader

MEMORY = 1024 * MiB


class WrongPictureError(Exception):
    """What the display got is not what the guest drew."""


class BenchMachine(Closing):
    """A peer, connected; ``startup`` is the time in seconds from its start until it took the connection.

    ``run_pages``: contiguous pages in a resource's backing.  They matter, since QEMU's backend
    walks all entries for each row of a partial transfer.
    """

    def __init__(self, peer: Peer, run_pages: int = 16) -> None:
        self.peer = peer
        with ExitStack() as failed:
            started = time.monotonic()
            self.backend = failed.enter_context(Backend(peer.arguments))
            self.frontend = Frontend.connect(
                self.backend.socket_path,
                wanted_features=GENERIC_FEATURES | Feature.VIRGL | Feature.CONTEXT_INIT,
                config_size=peer.config_size,
                timeout=10,
            )
            failed.callback(self.frontend.close)
            self.startup = time.monotonic() - started
            self.memory = GuestMemory(MEMORY)
            failed.callback(self.memory.close)
            self.guest = Guest(self.memory, event_idx=True, indirect=True, run_pages=run_pages)
            failed.callback(self.guest.close)
            self.reader: Reader = start_reader()
            failed.callback(self.reader.close)
            self.frontend.start(self.memory, self.guest.queues, self.reader.theirs)
            self.guest.display_info()
            self._owned = failed.pop_all()

    def close(self) -> None:
        self._owned.close()

    @property
    def pid(self) -> int:
        return self.backend.process.pid

    def cpu_of_all(self) -> float:
        """Seconds of CPU of the backend's processes, the reader and this process."""
        return cpu_time_of_tree(self.pid) + cpu_time(self.reader.pid) + cpu_time(os.getpid())

    def cpu_of_backend(self) -> float:
        return cpu_time_of_tree(self.pid)

    def drop(self, *resources: Resource) -> None:
        """Switches the scanout off and gives resources back, host and guest memory."""
        self.guest.set_scanout(0, None)
        for resource in resources:
            self.guest.detach(resource)
            # Rust's backend refuses those that a scanout has shown before another one.
            with suppress(CommandFailedError) if self.peer.name == "rust" else nullcontext():
                self.guest.unref(resource)
