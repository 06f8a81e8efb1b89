# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Host-visible memory: files that the VMM is asked to map into the guest, and to unmap.

How the VMM does it, and what it announces, is in docs/blobs.md.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress

import trio
from loguru import logger

from vgpud.errors import FrontendError
from vgpud.link.messages import MemoryRegion
from vgpud.session import memory_file
from vgpud.session.backend_channels import BackendChannels
from vgpud.session.shared_region import SharedRegion, Window
from vgpud.vhost_user.messages import (
    MAXIMUM_MEMORY_SLOTS,
    MAXIMUM_TABLE_REGIONS,
    SHMEM_READ_WRITE,
    BackendRequest,
    ProtocolFeature,
    SharedWindow,
    pack_shared_window,
)
from vgpud.wire.virtio_gpu import VIRTIO_GPU_SHM_ID_HOST_VISIBLE

# The features that a VMM needs for it.
NEEDED = (
    ProtocolFeature.SHMEM
    | ProtocolFeature.BACKEND_REQ
    | ProtocolFeature.BACKEND_SEND_FD
    | ProtocolFeature.REPLY_ACK
)


# How long a VMM may take to announce what it has mapped before we take it for one that does not;
# and to announce it again, when what it announced may have been something else.
TELLING_SECONDS = 0.5
AGAIN_SECONDS = 0.02


class SharedMemory:
    """``size`` is the region's size in bytes; with 0 nothing is offered.  ``ordinary_regions``
    counts the regions of guest memory. A VMM announces every window as one more memory region, and
    its end too.  Nothing lies there that the device would have to read: such regions are recognized
    here, and not mapped.
    """

    def __init__(
        self, size: int, channels: BackendChannels, ordinary_regions: Callable[[], int]
    ) -> None:
        self.region = SharedRegion(size)
        self.protocol_features = ProtocolFeature(0)
        self._channels = channels
        self._ordinary_regions = ordinary_regions
        self._asked = False
        self._told: set[tuple[int, int, int]] = set()
        self._running = trio.Event()
        self._running.set()
        self._tells: bool | None = None  # whether it announces windows; None: not known yet
        self._heard: list[tuple[int, int]] = []  # files announced since it was last asked
        self._hears = trio.Event()
        self._mapping = False
        self._just_unmapped = False  # and that was not announced yet

    # --- for the task that serves the VMM's requests

    @property
    def offered(self) -> ProtocolFeature:
        """The protocol features to offer for it."""
        return ProtocolFeature.SHMEM if self.region.size else ProtocolFeature(0)

    def sizes(self) -> dict[int, int]:
        """The regions and their sizes in bytes; a VMM that asks has host-visible memory."""
        self._asked = True
        return {VIRTIO_GPU_SHM_ID_HOST_VISIBLE: self.region.size} if self.region.size else {}

    @property
    def there(self) -> bool:
        """Whether the guest has the region: a VMM may know the feature but have no region."""
        return self._asked and NEEDED in self.protocol_features

    @property
    def slots(self) -> int:
        """Memory regions that the VMM was promised, ordinary ones and windows together."""
        if ProtocolFeature.CONFIGURE_MEM_SLOTS in self.protocol_features:
            return MAXIMUM_MEMORY_SLOTS
        return MAXIMUM_TABLE_REGIONS

    @property
    def slots_used(self) -> int:
        """How many of those are used."""
        return self._ordinary_regions() + len(self.region)

    def is_window(self, descriptor: int) -> bool:
        """Whether a region that the VMM adds announces a window."""
        # Mostly there is no window, and the descriptor may be any file: do not touch it without
        # need.
        if not len(self.region):
            return False
        status = os.fstat(descriptor)
        file = status.st_dev, status.st_ino
        if not self.region.shows(file):
            return False
        self._tells = True
        self._just_unmapped = self._just_unmapped and self._mapping
        self._heard.append(file)
        self._hears.set()
        return True

    def note(self, region: MemoryRegion) -> None:
        """The VMM has added a window."""
        if len(self._told) >= self.slots:
            raise OSError(errno.ENOSPC, "more regions than were offered")
        self._told.add(region[:3])

    def forget(self, region: MemoryRegion) -> bool:
        """The VMM removes a region; returns whether it was a window."""
        if region[:3] not in self._told:
            return False
        self._told.remove(region[:3])
        return True

    def hold(self) -> None:
        """The VMM stops its device: from then on QEMU 11.1 crashes when it is asked to map."""
        if self._running.is_set():
            self._running = trio.Event()

    def go_on(self) -> None:
        """The device runs again."""
        self._running.set()

    # --- for the task that asks the VMM, one thing after another

    async def running(self) -> None:
        """Returns when the VMM can be asked."""
        while not self._running.is_set():
            await self._running.wait()

    async def map(
        self, resource_id: int, offset: int, length: int, descriptor: int, file_offset: int
    ) -> None:
        """Maps ``length`` bytes of a file for the guest, at ``offset`` of the region.  The caller
        keeps the descriptor. OSError: EINVAL for what makes no sense, ENOMEM when the VMM can map
        no more, EOPNOTSUPP for a file that cannot be mapped or when there is no region, EIO when
        the VMM refuses.
        """
        if not self.there:
            raise OSError(errno.EOPNOTSUPP, "there is no host-visible memory")
        if self.slots_used >= self.slots:
            raise OSError(errno.ENOMEM, "the VMM can map no more")
        file = memory_file.check(descriptor, file_offset, length)
        window = Window(offset, length, file)
        # Taken before the VMM is asked: it may announce the window first.
        self.region.take(window, resource_id)
        self._heard.clear()
        self._mapping = True
        try:
            answer = await self._ask(BackendRequest.SHMEM_MAP, window, file_offset, descriptor)
            _check(answer, BackendRequest.SHMEM_MAP)
            await self._in_place(file)
        except OSError:
            self.region.give_back(window)
            raise
        finally:
            self._mapping = False

    async def _in_place(self, file: tuple[int, int]) -> None:
        """Waits until the guest's processors see the new mapping.

        QEMU 11.1 answers before it changes the guest's memory, and what a guest writes in between
        is lost.  After the change it announces its memory regions: this one, or an earlier one that
        was refused.  After an UNMAP its announcement looks the same.
        """
        needed = 2 if self._just_unmapped else 1
        self._just_unmapped = False
        while self._tells is not False and file not in self._heard and len(self._heard) < needed:
            self._hears = trio.Event()
            with trio.move_on_after(AGAIN_SECONDS if self._heard else TELLING_SECONDS) as waiting:
                await self._hears.wait()
            if waiting.cancelled_caught:
                self._tells = bool(self._tells)
                return

    async def unmap(self, resource_id: int) -> None:
        """OSError: EINVAL when that resource is not mapped, EIO when the VMM does not unmap it."""
        window = self.region.of(resource_id)
        if window is None:
            raise OSError(errno.EINVAL, f"resource {resource_id} is not mapped")
        answer = await self._ask(BackendRequest.SHMEM_UNMAP, window)
        _check(answer, BackendRequest.SHMEM_UNMAP)
        self._just_unmapped = True
        self.region.give_back(window)

    async def unmap_all(self) -> None:
        """Unmaps everything: the device was reset.  A VMM that refuses has unmapped it already;
        with one that does not answer it may still be mapped.
        """
        self.region.disown()
        for window in list(self.region):
            with suppress(OSError):
                await self._ask(BackendRequest.SHMEM_UNMAP, window)
                self._just_unmapped = True
                self.region.give_back(window)
        if len(self.region):
            logger.warning(
                "{bytes} bytes of host-visible memory may still be mapped: the VMM does not answer",
                bytes=self.region.mapped_bytes,
            )

    async def _ask(
        self,
        request: BackendRequest,
        window: Window,
        file_offset: int = 0,
        descriptor: int | None = None,
    ) -> int:
        """The VMM's answer, 0 for success; EIO when there is none."""
        payload = pack_shared_window(
            SharedWindow(
                VIRTIO_GPU_SHM_ID_HOST_VISIBLE,
                file_offset,
                window.offset,
                window.length,
                SHMEM_READ_WRITE if request == BackendRequest.SHMEM_MAP else 0,
            )
        )
        try:
            return await self._channels.ask(
                request, payload, [] if descriptor is None else [descriptor]
            )
        except FrontendError as error:
            raise OSError(errno.EIO, f"{request.name}: {error}") from error


def _check(answer: int, request: BackendRequest) -> None:
    if answer:
        raise OSError(errno.EIO, f"the VMM refuses {request.name} ({answer})")
