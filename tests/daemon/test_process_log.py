# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What processes below the daemon write becomes lines that the daemon answers for."""

import gc
import json
import os
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import trio
from loguru import logger

from vgpud.daemon.process_log import (
    TEXT_AT_ONCE,
    RecordRelay,
    TextRelay,
    Unlimited,
    device_names,
    relay,
)

if TYPE_CHECKING:
    from loguru import Message, Record


@pytest.fixture
def log() -> Iterator[list["Record"]]:
    records: list[Record] = []

    def write(message: "Message") -> None:
        records.append(message.record)

    handler = logger.add(write, level="DEBUG", format="{message}")
    yield records
    logger.remove(handler)


def piped(*lines: bytes) -> int:
    """A pipe that gives these lines, and then ends."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for line in lines:
        os.write(writing, line + b"\n")
    os.close(writing)
    return reading


def record(**fields: object) -> bytes:
    whole = {"level": "INFO", "module": "m", "message": "hello", "extra": {}} | fields
    return json.dumps(whole).encode()


async def test_a_session_s_record_is_logged_as_it_was_for_its_machine(log: list["Record"]) -> None:
    line = record(level="ERROR", exception="Traceback: x", extra={"device_process": 7})
    await relay(piped(line), RecordRelay(Unlimited("1, process 2")))
    (entry,) = log
    assert (entry["level"].name, entry["message"]) == ("ERROR", "hello")
    assert entry["extra"] == {
        "session": "1, process 2",
        "module": "m",
        "device_process": 7,
        "traceback": "Traceback: x",
    }


@pytest.mark.parametrize(
    "line",
    [
        record(extra={"session": "2, process 3", "instance": "red", "traceback": "x"}),
        record(extra={"session": ["2"], "deep": {"a": 1}}),
        record(extra={"_Logger__self": 1, "self": 2, "": 3, "a b": 4, "deep": []}),
        record(message="\ud800", extra={"name": "\udfff"}),
        record(level="EVIL{}", module={"x": 1}, exception=None),
        record(message={"text": "{x}"}, extra={}),
        b"[]",
        b"{" * 3000,
        b'{"extra": {}}',
        b"\xff\xfe \x1b[2J",
        b"<3>text with {braces} and <red>",
    ],
)
async def test_no_line_speaks_for_another_machine(log: list["Record"], line: bytes) -> None:
    await relay(piped(line), RecordRelay(Unlimited("1, process 2")))
    (entry,) = log
    assert entry["extra"]["session"] == "1, process 2"
    assert not entry["extra"].keys() & {"instance", "deep"}
    assert entry["level"].name in ("INFO", "WARNING", "ERROR")


async def test_text_has_its_priority_and_not_more_lines_than_are_allowed(
    log: list["Record"],
) -> None:
    lines = [b"<7>quiet", b"<3>loud", *[b"noise"] * 1000]
    await relay(piped(*lines), TextRelay(Unlimited("1"), lambda: device_names(7)))
    assert [entry["level"].name for entry in log[:3]] == ["DEBUG", "ERROR", "WARNING"]
    assert TEXT_AT_ONCE <= len(log) < TEXT_AT_ONCE + 20
    assert all(entry["extra"]["module"] == "vgpud.device" for entry in log)


async def test_a_line_without_end_is_cut(log: list["Record"]) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(relay, reading, TextRelay(Unlimited("1")))
        for _ in range(20):
            os.write(writing, b"x" * 4096)
            await trio.testing.wait_all_tasks_blocked()
        os.close(writing)
    assert len(log) == 20
    assert all(len(entry["message"]) <= 1024 for entry in log)


class Machine:
    """Of which a machine's pipes are read, and which has its say about each line."""

    name = "1, process 2"

    def may_say(self) -> bool:
        return True

    def note_left_out(self) -> None:
        pass


@pytest.mark.parametrize("kind", [RecordRelay, TextRelay])
async def test_a_machine_that_has_left_is_freed_without_the_collector(
    kind: type[RecordRelay | TextRelay], log: list["Record"]
) -> None:
    machine = Machine()
    left = weakref.ref(machine)
    gc.disable()
    try:
        await relay(piped(record()), kind(machine))
        del machine
        assert log
        assert left() is None
    finally:
        gc.enable()
