# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What only the session can do for a command: it is asked, and the guest is answered when its
answer has come. The queue goes on meanwhile: the command's chain stays in flight; a chain whose
queue was stopped in between is forgotten.
"""

import errno
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vgpud.device.responses import LATER, Later, Response
from vgpud.link.connection import Connection
from vgpud.link.messages import Answer, Question

# A guest can have at most as many chains in flight as a queue has entries.
MAXIMUM_WAITING = 1024

Finish = Callable[[Answer], Response]
"""From the session's answer to the guest's."""


class _Waiting(NamedTuple):
    chain: int
    finish: Finish


class Questions:
    """What the session has been asked and has not answered."""

    def __init__(self, link: Connection, respond: Callable[[int, Response], None]) -> None:
        self._link = link
        self._respond = respond
        self._waiting: dict[int, _Waiting] = {}
        self._last = 0

    def ask(
        self,
        chain: int,
        question: Callable[[int], Question],
        finish: Finish,
        descriptors: Sequence[int] = (),
    ) -> Later | Response:
        """Sends the message that ``question`` makes from a number, with copies of the descriptors;
        ``finish`` makes the command's response from the answer. With too many under way the answer
        is EAGAIN, at once.
        """
        self._last += 1
        if len(self._waiting) >= MAXIMUM_WAITING:
            return finish(Answer(self._last, errno.EAGAIN, b""))
        self._waiting[self._last] = _Waiting(chain, finish)
        self._link.send(question(self._last), descriptors)
        return LATER

    def answered(self, answer: Answer) -> None:
        """Answers the guest with what the session says, unless its chain has gone meanwhile."""
        waiting = self._waiting.pop(answer.request, None)
        if waiting is not None:
            self._respond(waiting.chain, waiting.finish(answer))

    def clear(self) -> None:
        """Forgets every chain: the queue was stopped, which has answered them."""
        self._waiting.clear()
