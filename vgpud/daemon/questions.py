# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a session is asked, and what it says unasked."""

from typing import TypeVar

import trio

from vgpud.link.fields import LinkError
from vgpud.tree.messages import Pong, Report

ANSWER_SECONDS = 1.0
# A session sends a few lines unasked in its whole life.
UNASKED_MAX = 16

AnswerType = TypeVar("AnswerType", Report, Pong)


class Question:
    """One that was asked; ``answer`` is None when there was none in time."""

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.answer: Report | Pong | None = None
        self._arrived = trio.Event()

    def take(self, answer: Report | Pong | None) -> None:
        self.answer = answer
        self._arrived.set()

    async def wait(self) -> None:
        """Until there is an answer, or has been none for too long."""
        with trio.move_on_after(ANSWER_SECONDS):
            await self._arrived.wait()


class Questions:
    """Those that are open, by serial."""

    def __init__(self) -> None:
        self._serial = 0
        self._open: dict[int, Question] = {}
        self._unasked = 0

    def begin(self) -> Question:
        """A new one, which must be ended."""
        self._serial += 1
        question = self._open[self._serial] = Question(self._serial)
        return question

    def end(self, question: Question) -> None:
        """No answer to it is waited for any more."""
        del self._open[question.serial]

    def allow_late_answer(self) -> None:
        """It was asked and has not answered in time: what comes too late is not used, but does not
        count as unasked either.
        """
        self._unasked -= 1

    def take(self, answer: Report | Pong) -> None:
        """``LinkError`` as in count_unasked."""
        question = self._open.get(answer.serial)
        if question is None or question.answer is not None:
            self.count_unasked()
        else:
            question.take(answer)

    def count_unasked(self) -> None:
        """It has said something unasked; ``LinkError`` when that is too often."""
        self._unasked += 1
        if self._unasked > UNASKED_MAX:
            raise LinkError("it sends more than it was asked for")

    def close(self) -> None:
        """Nobody answers any more."""
        for question in self._open.values():
            question.take(None)
