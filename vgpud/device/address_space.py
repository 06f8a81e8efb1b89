# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A bound for what a library allocates for the guest's programs, where it executes their Vulkan in the device process itself.

It counts for nothing else: not as images, nor as blobs, unless the guest has it mapped.  Memory may be
private or a file's, written or not, so it is the address space that has a limit (RLIMIT_AS), which moves with the guest's memory.
"""

import os
import resource
from pathlib import Path

STATM = Path("/proc/self/statm")


class AddressSpace:
    """That of this process.  Without :meth:`bound` it has the limit that it began with."""

    def __init__(self) -> None:
        self._own: int | None = None

    def bound(self, more: int) -> None:
        """From now on at most ``more`` bytes are mapped beside what is now, and guest memory."""
        pages = int(STATM.read_text().split()[0])
        self._own = pages * os.sysconf("SC_PAGE_SIZE") + more
        self.make_room(0)

    def make_room(self, guest_memory: int) -> None:
        """For as many bytes of guest memory."""
        if self._own is None:
            return
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = self._own + guest_memory
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
