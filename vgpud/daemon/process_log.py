# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the processes below write on standard error becomes lines of our log, within limits.

A guest may have taken over a device process, and a VMM a session.  So the machine's name, the
priority and what is printable are decided here.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Protocol

import trio
from loguru import logger

from vgpud.link.limited_log import LimitedLog
from vgpud.tree.messages import DEVICE_MODULE

SESSION_AT_ONCE, SESSION_PER_SECOND = 200, 20.0
# Tracebacks, a sanitizer's report, what graphics libraries have to say.
TEXT_AT_ONCE, TEXT_PER_SECOND = 200, 5.0
LINE_BYTES = 1024
RECORD_BYTES = 16 * 1024
READ_BYTES = 16 * 1024
PRIORITIES = {"<3>": "ERROR", "<4>": "WARNING", "<6>": "INFO", "<7>": "DEBUG"}
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# These say which machine and which daemon speaks.
RESERVED = ("session", "instance", "traceback", "module")
NAME = re.compile("[a-z][a-z_]{0,31}")

Write = Callable[[str], None]


class Voice(Protocol):
    """A machine's share of the log, among all of its user's."""

    def may_say(self) -> bool:
        """Whether one more line may be written."""
        ...

    def note_left_out(self) -> None:
        """Counts a line that was not written."""
        ...


class _Unlimited:
    """Our own share, which has no limit."""

    def may_say(self) -> bool:
        return True

    def note_left_out(self) -> None:
        return


UNLIMITED = _Unlimited()


class Relay:
    """Takes what comes from a pipe, and writes its lines."""

    def __init__(self, lines: "_Limited | _Records", longest: int) -> None:
        self._lines = lines
        self._longest = longest
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > self._longest:
            lines, rest = [*lines, rest], b""
        self._rest = rest
        for line in filter(None, lines):
            self._lines.take(line[: self._longest].decode(errors="replace"))

    def finish(self) -> None:
        """The pipe has ended."""
        if self._rest:
            self._lines.take(self._rest.decode(errors="replace"))
        self._lines.finish()


def record_relay(name: Callable[[], str], voice: Voice = UNLIMITED) -> Relay:
    """For a session's own lines; ``name`` is the machine's."""
    return Relay(_Records(name, voice), RECORD_BYTES)


def text_relay(
    name: Callable[[], str],
    names: Callable[[], dict[str, Any]] = dict,
    voice: Voice = UNLIMITED,
) -> Relay:
    """For any text that a process writes; ``names`` is what else each line names."""

    def write(line: str) -> None:
        _log_text(logger.bind(session=name(), **names()), line)

    return Relay(_Limited(write, TEXT_AT_ONCE, TEXT_PER_SECOND, voice), LINE_BYTES)


async def relay(pipe: int, to: Relay) -> None:
    """Until the pipe has ended, which this takes over."""
    try:
        async with trio.lowlevel.FdStream(pipe) as stream:
            while data := await stream.receive_some(READ_BYTES):
                to.feed(data)
    finally:
        to.finish()


def device_names(pid: Callable[[], int | None]) -> Callable[[], dict[str, Any]]:
    """What each line of a device process names."""
    return lambda: {"module": DEVICE_MODULE, "device_process": pid()}


def _log_text(bound: Any, line: str) -> None:
    priority = PRIORITIES.get(line[:3])
    bound.log(priority or "WARNING", "{}", line[3:] if priority else line)


class _Limited:
    """Limits the lines of one pipe first, then those of its machine's user."""

    def __init__(self, write: Write, at_once: int, per_second: float, voice: Voice) -> None:
        self._write = write
        self._voice = voice
        self._log = LimitedLog(self._say, at_once, per_second)

    def take(self, line: str) -> None:
        if not self._log.write(line):
            self._voice.note_left_out()

    def finish(self) -> None:
        """The last word.  What it holds, which holds it, goes at once and does not wait for the collector."""
        self._log.finish()
        del self._log, self._write

    def _say(self, line: str) -> None:
        if self._voice.may_say():
            self._write(line)


class _Records:
    """Lines that are records; a line that is not, such as the interpreter's, is text."""

    def __init__(self, name: Callable[[], str], voice: Voice) -> None:
        self._name = name
        self._record: dict[str, Any] = {}
        self._limited = _Limited(self._write, SESSION_AT_ONCE, SESSION_PER_SECOND, voice)

    def take(self, line: str) -> None:
        self._record = _record(line) or {}
        self._limited.take(self._record.get("message", line))

    def finish(self) -> None:
        """As of what it is limited by."""
        self._limited.finish()

    def _write(self, text: str) -> None:
        bound = logger.bind(session=self._name())
        if not self._record:
            _log_text(bound, text)
            return
        named = {
            key: value
            for key, value in self._record["extra"].items()
            if key not in RESERVED and NAME.fullmatch(key) and isinstance(value, int | str)
        }
        bound = bound.bind(**named, module=self._record["module"])
        if self._record["exception"]:
            bound = bound.bind(traceback=self._record["exception"])
        bound.log(self._record["level"], "{}", text)


def _record(line: str) -> dict[str, Any] | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("extra"), dict):
        return None
    return {
        "level": fields["level"] if fields.get("level") in LEVELS else "WARNING",
        "module": str(fields.get("module", "")),
        "message": str(fields.get("message", "")),
        "exception": str(fields.get("exception", "")),
        "extra": fields["extra"],
    }
