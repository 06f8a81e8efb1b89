# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How many lines of the log each user's machines may have together: connecting again brings no new share."""

import trio
from loguru import logger

from vgpud.link.limited_log import Allowance

USER_AT_ONCE, USER_PER_SECOND = 500, 20.0
"""Of a user's machines together; of each of them less, see `vgpud.daemon.process_log`."""

FLUSH_SECONDS = 1.0


class LogShares:
    """By the user that a VMM runs as; ``left_out`` counts the lines that none of them could say."""

    def __init__(self) -> None:
        self._users: dict[int, Allowance] = {}
        self.left_out = 0
        self._exceeded = trio.Event()

    async def run(self) -> None:
        """Says how much was left out of what users' machines had to say; never returns."""
        while True:
            await self._exceeded.wait()
            self._exceeded = trio.Event()
            while self._flush():
                await trio.sleep(FLUSH_SECONDS)

    def allows(self, user: int) -> bool:
        """Whether one more line of this user may be written."""
        allowance = self._users.get(user)
        if allowance is None:
            allowance = self._users[user] = Allowance(USER_AT_ONCE, USER_PER_SECOND)
        if allowance.take():
            return True
        self.left_out += 1
        self._exceeded.set()
        return False

    def say(self, user: int, text: str) -> None:
        """A warning of the daemon's own, about what a user does."""
        if self.allows(user):
            logger.warning("{}", text)

    def _flush(self) -> bool:
        """Whether there is more to say later."""
        for user, allowance in list(self._users.items()):
            if allowance.left_out and allowance.any:
                allowance.take()
                logger.warning(
                    "user {}: {} lines of its machines are not shown", user, allowance.reset()
                )
            elif allowance.whole:
                # As good as a new one.
                del self._users[user]
        return any(allowance.left_out for allowance in self._users.values())
