# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a device process asks, and when it is answered."""

import random
from typing import cast

import trio

from vgpud.config.schema import Config
from vgpud.link import messages
from vgpud.link.trio_connection import TrioConnection
from vgpud.session.journal import Journal
from vgpud.session.map_requests import MapRequests
from vgpud.session.reports import Images, Reports
from vgpud.session.start_up import limits


class Display:
    """One that takes its time, and not always the same."""

    async def display_info(self) -> bytes:
        await trio.sleep(random.random() * 5)
        return b"info"

    async def edid(self, scanout_id: int) -> bytes:
        await trio.sleep(random.random() * 5)
        return bytes((scanout_id,))


class Link:
    def __init__(self) -> None:
        self.sent: list[messages.Answer] = []

    async def send(self, message: messages.Answer) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(message)


async def test_questions_are_answered_in_their_order_and_not_one_after_the_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link, display = Link(), Display()
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        reports = Reports(
            Journal(limits(Config())),
            cast(Images, None),
            lambda: display,
            cast(MapRequests, None),
            nursery,
        )
        for number in range(0, 60, 3):
            for question in (
                messages.GetEdid(number, 0),
                messages.GetEdid(number + 1, 1),
                messages.GetDisplayInfo(number + 2),
            ):
                await reports.receive(cast(TrioConnection, link), question, [])
    assert [answer.request for answer in link.sent] == list(range(60))
    assert link.sent[1:3] == [messages.Answer(1, 0, b"\1"), messages.Answer(2, 0, b"info")]
    assert trio.current_time() - start <= 5
