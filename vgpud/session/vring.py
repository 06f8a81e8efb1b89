# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a front-end has said of one ring, and when that makes the ring start and stop. A ring is
*started* by SET_VRING_KICK, *stopped* by GET_VRING_BASE and *enabled* independently of both
(*Vhost-user Protocol*, "Ring states").
"""

import errno
import os
from typing import Protocol

from vgpud.errors import FrontendError
from vgpud.link.messages import QueueConfig
from vgpud.vhost_user.messages import LOG_USED, MAXIMUM_QUEUE_SIZE, Feature, VringAddress

DESCRIPTORS = ("kick", "call", "err")


class Queue(Protocol):
    """Whoever works on the ring.  A method raises OSError when it cannot."""

    async def start(self, vring: "Vring") -> None: ...
    async def set_enabled(self, vring: "Vring") -> None: ...
    async def set_descriptor(self, vring: "Vring", which: str) -> None: ...
    async def stop(self, vring: "Vring") -> int:
        """Returns the base to go on from."""


class Vring:
    """Owns its descriptors; ``descriptors`` lacks those that the front-end has not given.

    ``started`` says that the ring works (or will, as soon as there is a process for it), ``base``
    where it starts, or where it stopped; ``begun`` is for its queue.
    """

    def __init__(self, queue: Queue) -> None:
        self.features = Feature(0)
        self.descriptors: dict[str, int] = {}
        self.started = False
        self.enabled = False
        self.begun = False
        self.base = 0
        self._queue = queue
        self._size = 0
        self._address: VringAddress | None = None
        self._kicked = False  # SET_VRING_KICK came
        self._stopped = False  # `base` is what GET_VRING_BASE answered

    @property
    def packed(self) -> bool:
        return Feature.RING_PACKED in self.features

    @property
    def size(self) -> int:
        """In entries; 0 before the front-end has said it."""
        return self._size

    @property
    def config(self) -> QueueConfig:
        """The configuration for starting the queue."""
        address = self._address
        if address is None:
            raise OSError(errno.EINVAL, "a ring without addresses")
        return QueueConfig(
            self._size,
            int(self.features),
            address.descriptor,
            address.used,
            address.available,
            log_used=bool(address.flags & LOG_USED),
            log_address=address.log,
        )

    def set_size(self, size: int) -> None:
        self._refuse_while_started("SET_VRING_NUM")
        # Whether the ring is packed is known only when it starts: features may come later than
        # this.
        if not 0 < size <= MAXIMUM_QUEUE_SIZE:
            raise FrontendError(f"a ring of {size} entries")
        self._size = size

    def set_base(self, base: int) -> bool:
        """Sets the base; true when the ring does not go on where it stopped: the driver has reset
        the device.
        """
        self._refuse_while_started("SET_VRING_BASE")
        anew = self._stopped and base != self.base
        self.base = base
        self._stopped = False
        return anew

    async def set_address(self, address: VringAddress) -> None:
        self._address = address
        await self.start_if_ready()

    async def pause(self, address: VringAddress) -> None:
        """Called before another address is set while the ring runs: a migration begins or ends, and
        from now on its used ring is logged, or not.
        """
        if self.started and address != self._address:
            self.base = await self._queue.stop(self)
            self.started = False

    async def set_descriptor(self, which: str, descriptor: int | None) -> None:
        """Takes the descriptor; None: there is none.  After an OSError the previous one stays."""
        before = self._exchange(which, descriptor)
        if self.started:
            try:
                await self._queue.set_descriptor(self, which)
            except OSError:
                before = self._exchange(which, before)
                raise
            finally:
                _close(before)
            return
        _close(before)
        if which == "kick":
            self._kicked = True
            await self.start_if_ready()

    def _exchange(self, which: str, descriptor: int | None) -> int | None:
        """Returns the previous descriptor, which the caller then owns."""
        before = self.descriptors.pop(which, None)
        if descriptor is not None:
            self.descriptors[which] = descriptor
        return before

    async def set_enabled(self, enabled: bool) -> None:
        self.enabled = enabled
        if self.started:
            await self._queue.set_enabled(self)

    async def start_if_ready(self) -> None:
        """Called whenever something has come that the ring may have waited for."""
        if self._kicked and not self.started and self._size and self._address:
            await self._start()

    async def _start(self) -> None:
        if not self.packed and self._size & (self._size - 1):
            raise FrontendError(f"a split ring of {self._size} entries")
        if Feature.PROTOCOL_FEATURES not in self.features:
            self.enabled = True
        self.started = True
        try:
            await self._queue.start(self)
        except OSError as error:
            self.started = False
            # Its memory may come after its addresses.
            if error.errno != errno.EFAULT:
                raise FrontendError(f"an impossible ring: {error}") from error

    async def stop(self) -> int:
        """GET_VRING_BASE."""
        if self.started:
            self.base = await self._queue.stop(self)
            self.started = False
        self._kicked = False
        self._stopped = True
        _close(self._exchange("kick", None))
        return self.base

    def forget_base(self) -> None:
        """Accepts any base next: the device was reset."""
        self._stopped = False

    def _refuse_while_started(self, request: str) -> None:
        if self.started:
            raise FrontendError(f"{request} for a ring that runs")

    def close(self) -> None:
        for which in DESCRIPTORS:
            _close(self._exchange(which, None))


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
