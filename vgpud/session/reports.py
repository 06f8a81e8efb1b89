# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a device process sends unasked: what it made, what it asks, what went wrong."""

import errno
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import trio
from loguru import logger

from vgpud.errors import FrontendError
from vgpud.link import messages
from vgpud.link.codec import LinkClosedError
from vgpud.link.fields import LinkError
from vgpud.link.limited_log import LimitedLog
from vgpud.link.trio_connection import TrioConnection
from vgpud.session.journal import Journal
from vgpud.session.map_requests import MapRequests
from vgpud.tree.messages import DEVICE_MODULE

# A guest can have at most as many commands in flight as its queue has entries.
MAXIMUM_QUESTIONS = 1024
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
# More than an honest process sends, which limits itself.
LINES_AT_ONCE = 50
LINES_PER_SECOND = 5.0
LINE_CHARACTERS = 1024


class Display(Protocol):
    """Who answers the guest's questions; an answer is a whole response, or empty."""

    async def display_info(self) -> bytes: ...
    async def edid(self, scanout_id: int) -> bytes: ...


class Images(Protocol):
    """Who is told of every image and blob, besides the session's journal."""

    def image_created(self, created: messages.ResourceCreated, image: int) -> None: ...
    def blob_backed(self, resource_id: int, entries: bytes) -> None: ...
    def image_gone(self, resource_id: int) -> None: ...
    def resource_gone(self, resource_id: int) -> None: ...


class Reports:
    """``nursery`` is where questions are answered."""

    def __init__(
        self,
        journal: Journal,
        images: Images,
        display: Callable[[], Display],
        maps: MapRequests,
        nursery: trio.Nursery,
    ) -> None:
        self._journal = journal
        self._images = images
        self._display = display
        self._maps = maps
        self._nursery = nursery
        self._questions = 0
        self._answered = trio.Event()  # set when the last question is answered
        self._answered.set()
        said = logger.bind(module=DEVICE_MODULE)
        self._logs = {
            level: LimitedLog(partial(said.log, level, "{}"), LINES_AT_ONCE, LINES_PER_SECOND)
            for level in LEVELS
        }

    async def receive(
        self, link: TrioConnection, report: messages.Report, descriptors: list[int]
    ) -> None:
        """``LinkError`` when no honest process would send this, ``FrontendError`` when the session
        is over.
        """
        if isinstance(report, messages.Journal):
            self._record(report, descriptors)
        elif isinstance(report, messages.GetDisplayInfo | messages.GetEdid):
            self._ask(link, report)
        elif isinstance(report, messages.MapBlob | messages.UnmapBlob):
            self._maps.ask(link, report, descriptors)
        elif isinstance(report, messages.MemoryFault):
            raise FrontendError("guest memory shrank underneath")
        elif isinstance(report, messages.QueueBroken):
            reason = report.reason[:LINE_CHARACTERS]
            self._logs["WARNING"].write(f"the control queue is broken: {reason}")
        else:
            level = report.level if report.level in LEVELS else "WARNING"
            self._logs[level].write(report.text[:LINE_CHARACTERS])

    def _record(self, entry: messages.Journal, descriptors: list[int]) -> None:
        image = descriptors[0] if descriptors else -1
        self._journal.record(entry, descriptors)
        if isinstance(entry, messages.ResourceCreated):
            try:
                self._images.image_created(entry, image)
            except OSError as error:
                self._journal.record(messages.ResourceGone(entry.resource_id), [])
                raise LinkError(f"{entry} with an image that is not one: {error}") from error
        elif isinstance(entry, messages.BackingAttached):
            if self._journal.blob(entry.resource_id) is not None:
                self._images.blob_backed(entry.resource_id, entry.entries)
        elif isinstance(entry, messages.BackingDetached):
            if self._journal.blob(entry.resource_id) is not None:
                self._images.image_gone(entry.resource_id)
        elif isinstance(entry, messages.ResourceGone):
            self._images.resource_gone(entry.resource_id)

    def _ask(
        self, link: TrioConnection, question: messages.GetDisplayInfo | messages.GetEdid
    ) -> None:
        if self._questions >= MAXIMUM_QUESTIONS:
            raise LinkError("more questions than a guest can ask")
        self._questions += 1
        before, self._answered = self._answered, trio.Event()
        self._nursery.start_soon(self._answer, link, question, before, self._answered)

    async def _answer(
        self,
        link: TrioConnection,
        question: messages.GetDisplayInfo | messages.GetEdid,
        before: trio.Event,
        answered: trio.Event,
    ) -> None:
        """Answers in the order of the questions: when Linux gets GET_DISPLAY_INFO's answer, it
        looks at its displays by the EDIDs that it asked for before.
        """
        display = self._display()
        try:
            if isinstance(question, messages.GetEdid):
                data = await display.edid(question.scanout_id)
            else:
                data = await display.display_info()
            answer = messages.Answer(question.request, 0 if data else errno.ENODEV, data)
            await before.wait()
            # The process that asked may have died meanwhile.
            with suppress(LinkClosedError):
                await link.send(answer)
        finally:
            self._questions -= 1
            answered.set()
