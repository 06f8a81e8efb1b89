# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A user's machines share their lines of the log, and use no other user's."""

from collections.abc import Iterator

import pytest
import trio
import trio.testing
from loguru import logger

from vgpud.daemon import log_shares
from vgpud.daemon.log_shares import USER_AT_ONCE, LogShares
from vgpud.daemon.process_log import SESSION_AT_ONCE, TextRelay, relay

from .test_process_log import piped


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lambda message: lines.append(str(message).strip()), format="{message}")
    yield lines
    logger.remove(handler)


class Voice:
    """A machine of a user."""

    def __init__(self, shares: LogShares, user: int) -> None:
        self._shares = shares
        self._user = user
        self.name = str(user)
        self.left_out = 0

    def may_say(self) -> bool:
        return self._shares.allows(self._user)

    def note_left_out(self) -> None:
        self.left_out += 1


async def test_many_machines_of_one_user_have_one_share(log: list[str]) -> None:
    shares = LogShares()
    machines = 2 * USER_AT_ONCE // SESSION_AT_ONCE
    voices = [Voice(shares, 1000) for _ in range(machines)]
    for voice in voices:
        lines = [b"one's"] * (SESSION_AT_ONCE + 50)
        await relay(piped(*lines), TextRelay(voice))
    assert USER_AT_ONCE <= len(log) <= USER_AT_ONCE + 20
    assert all(voice.left_out for voice in voices)
    await relay(piped(b"another's"), TextRelay(Voice(shares, 1001)))
    assert log[-1] == "another's"


async def test_what_a_user_could_not_say_is_counted_in_one_line(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shares, "FLUSH_SECONDS", 0.05)
    shares = LogShares()
    for _ in range(USER_AT_ONCE + 30):
        shares.say(1000, "again")
    assert shares.left_out >= 25
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shares.run)
        with trio.fail_after(5):
            while not log[-1].startswith("user 1000: "):
                await trio.sleep(0.01)
        await trio.sleep(0.2)
        nursery.cancel_scope.cancel()
    (line,) = (line for line in log if line.startswith("user 1000: "))
    assert int(line.split()[2]) == shares.left_out
