# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The channel on which we ask the VMM: the last one that it gave."""

from collections.abc import Sequence

import trio

from vgpud.errors import FrontendError
from vgpud.vhost_user.backend_channel import BackendChannel
from vgpud.vhost_user.messages import BackendRequest


class BackendChannels:
    """A channel on which something went wrong is closed: a late answer would be taken for the
    answer to something else.

    ``FrontendError`` when there is none, and as :class:`BackendChannel` raises it.  The task that
    reads the front-end's requests must not ask: the front-end may need that task before it answers.
    """

    def __init__(self) -> None:
        self._channel: BackendChannel | None = None
        self._given = trio.Event()  # another channel was given

    @property
    def there(self) -> bool:
        """Whether there is a channel."""
        return self._channel is not None

    def replace(self, descriptor: int) -> None:
        """Uses this channel from now on; takes the descriptor."""
        self.close()
        self._channel = BackendChannel(descriptor)
        self._given.set()
        self._given = trio.Event()

    async def run(self) -> None:
        """Reads one channel after another; never returns."""
        while True:
            another = self._given
            if self._channel is not None:
                await self._channel.run()
            await another.wait()

    async def ask(
        self, request: BackendRequest, payload: bytes = b"", descriptors: Sequence[int] = ()
    ) -> int:
        """The VMM's answer, 0 for success; it answers only with REPLY_ACK."""
        channel = self._current()
        try:
            return await channel.ask(request, payload, descriptors)
        except FrontendError:
            self._drop(channel)
            raise

    async def tell(self, request: BackendRequest) -> None:
        """A request without payload that is not answered."""
        channel = self._current()
        try:
            await channel.tell(request)
        except FrontendError:
            self._drop(channel)
            raise

    def _current(self) -> BackendChannel:
        if self._channel is None:
            raise FrontendError("there is no backend channel")
        return self._channel

    def _drop(self, channel: BackendChannel) -> None:
        """Closes a channel, unless another has replaced it."""
        if self._channel is channel:
            self.close()

    def close(self) -> None:
        """Closes the channel; there is none until another is given."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
