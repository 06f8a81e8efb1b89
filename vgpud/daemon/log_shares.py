# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How many lines of the log the machines of each user may have together: connecting again gives no
new share.
"""

import trio
from loguru import logger

from vgpud.link.limited_log import Allowance

USER_AT_ONCE, USER_PER_SECOND = 500, 20.0
"""Lines of a user's machines together; each of them may have fewer, see
`vgpud.daemon.process_log`.
"""

FLUSH_SECONDS = 1.0


class LogShares:
    """By the user that a VMM runs as; ``left_out`` counts the lines of all of them that were not
    logged.
    """

    def __init__(self) -> None:
        self._users: dict[int, Allowance] = {}
        self.left_out = 0
        self._exceeded = trio.Event()

    async def run(self) -> None:
        """Logs how many lines of users' machines were left out; never returns."""
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
        """Logs a warning of the daemon itself about a user."""
        if self.allows(user):
            logger.warning("{}", text)

    def _flush(self) -> bool:
        """Logs what was left out; whether there may be more later."""
        for user, allowance in list(self._users.items()):
            if allowance.left_out and allowance.any:
                allowance.take()
                logger.warning(
                    "user {}: {} lines of its machines are not shown", user, allowance.reset()
                )
            elif allowance.whole:
                # A full allowance is as good as a new one.
                del self._users[user]
        return any(allowance.left_out for allowance in self._users.values())
