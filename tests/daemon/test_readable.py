# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One task waits for many descriptors, which their readers may close and open meanwhile."""

import os
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
import trio
import trio.testing

from vgpud.daemon.readable import Readable


@pytest.fixture
def readable() -> Iterator[Readable]:
    with closing(Readable()) as made:
        yield made


class Exchanger:
    """When one of its pipes can be read it closes all of them, and opens others that get their numbers."""

    def __init__(self, readable: Readable, count: int) -> None:
        self._readable = readable
        self.told: list[int] = []
        self.failures: list[Exception] = []
        self.pipes = [self._new(b"x") for _ in range(count)]

    def _new(self, content: bytes) -> tuple[int, int]:
        reading, writing = os.pipe()
        os.write(writing, content)
        self._readable.add(reading, self)
        return reading, writing

    def on_readable(self, descriptor: int) -> None:
        self.told.append(descriptor)
        count = len(self.pipes)
        self.close()
        self.pipes = [self._new(b"") for _ in range(count)]

    def on_failure(self, error: Exception) -> None:
        self.failures.append(error)

    def close(self) -> None:
        for reading, writing in self.pipes:
            self._readable.remove(reading)
            os.close(reading)
            os.close(writing)
        self.pipes = []


async def test_nobody_is_told_of_a_descriptor_that_has_only_the_number_of_one_that_was_ready(
    readable: Readable,
) -> None:
    with closing(Exchanger(readable, 8)) as exchanger:
        before = {reading for reading, _ in exchanger.pipes}
        with trio.move_on_after(0.2):
            await readable.run()
        assert before & {reading for reading, _ in exchanger.pipes}, "no number was used again"
        assert len(exchanger.told) == 1
        assert exchanger.failures == []


class Steady:
    """Leaves what it is told of as it is, so that it is told again."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def on_readable(self, descriptor: int) -> None:
        self.told.append(descriptor)
        if len(self.told) > 300:
            raise KeyError(descriptor)

    def on_failure(self, error: Exception) -> None:
        raise StopAsyncIteration from error


async def test_one_that_is_always_ready_does_not_keep_a_hundred_others_waiting(
    readable: Readable,
) -> None:
    steady = Steady()
    pipes = [os.pipe() for _ in range(100)]
    for reading, writing in pipes:
        os.write(writing, b"x")
        readable.add(reading, steady)
    with suppress(StopAsyncIteration):
        await readable.run()
    assert set(steady.told[:100]) == {reading for reading, _ in pipes}
    for reading, writing in pipes:
        readable.remove(reading)
        os.close(reading)
        os.close(writing)
