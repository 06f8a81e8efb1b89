# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the processes below write on standard error becomes lines of our log, within limits.

A guest may have taken over a device process, and a VMM a session.  So the machine's name, the
priority and what is printable are decided here.
"""

import json
import re
from abc import ABC, abstractmethod
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


class Voice(Protocol):
    """A machine's share of the log, among all of its user's."""

    @property
    def name(self) -> str:
        """Of the machine."""
        ...

    def may_say(self) -> bool:
        """Whether one more line may be written."""
        ...

    def note_left_out(self) -> None:
        """Counts a line that was not written."""
        ...


class Unlimited:
    """The share of one of our own processes, which has no limit."""

    def __init__(self, name: str) -> None:
        self.name = name

    def may_say(self) -> bool:
        return True

    def note_left_out(self) -> None:
        return


class Relay(ABC):
    """Takes what comes from a pipe and logs its lines: as many as one pipe may have first, then as
    many as its machine's user.
    """

    longest = LINE_BYTES
    at_once, per_second = TEXT_AT_ONCE, TEXT_PER_SECOND

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._rest = b""
        self._log = LimitedLog(self._say, self.at_once, self.per_second)

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > self.longest:
            lines, rest = [*lines, rest], b""
        self._rest = rest
        for line in filter(None, lines):
            self._take(line[: self.longest].decode(errors="replace"))

    def finish(self) -> None:
        """The pipe has ended.  What it holds, which holds it, goes at once and does not wait for the collector."""
        if self._rest:
            self._take(self._rest.decode(errors="replace"))
        self._log.finish()
        del self._log

    def _take(self, line: str) -> None:
        if not self._log.write(line):
            self._voice.note_left_out()

    def _say(self, line: str) -> None:
        if self._voice.may_say():
            self._write(line)

    @abstractmethod
    def _write(self, line: str) -> None: ...


class TextRelay(Relay):
    """For any text that a process writes; ``names`` is what else each line names."""

    def __init__(self, voice: Voice, names: Callable[[], dict[str, Any]] = dict) -> None:
        super().__init__(voice)
        self._names = names

    def _write(self, line: str) -> None:
        _log_text(logger.bind(session=self._voice.name, **self._names()), line)


class RecordRelay(Relay):
    """For a session's own lines, which are records; a line that is not, such as the interpreter's,
    is text.
    """

    longest = RECORD_BYTES
    at_once, per_second = SESSION_AT_ONCE, SESSION_PER_SECOND

    def __init__(self, voice: Voice) -> None:
        super().__init__(voice)
        self._record: dict[str, Any] = {}

    def _take(self, line: str) -> None:
        self._record = _record(line) or {}
        super()._take(self._record.get("message", line))
        self._record = {}

    def _write(self, line: str) -> None:
        bound = logger.bind(session=self._voice.name)
        if not self._record:
            _log_text(bound, line)
            return
        named = {
            key: value
            for key, value in self._record["extra"].items()
            if key not in RESERVED and NAME.fullmatch(key) and isinstance(value, int | str)
        }
        bound = bound.bind(**named, module=self._record["module"])
        if self._record["exception"]:
            bound = bound.bind(traceback=self._record["exception"])
        bound.log(self._record["level"], "{}", line)


async def relay(pipe: int, to: Relay) -> None:
    """Until the pipe has ended, which this takes over."""
    try:
        async with trio.lowlevel.FdStream(pipe) as stream:
            while data := await stream.receive_some(READ_BYTES):
                to.feed(data)
    finally:
        to.finish()


def device_names(pid: int) -> dict[str, Any]:
    """What each line of a device process names; its number is 0 when there is none."""
    return {"module": DEVICE_MODULE, "device_process": pid or None}


def _log_text(bound: Any, line: str) -> None:
    priority = PRIORITIES.get(line[:3])
    bound.log(priority or "WARNING", "{}", line[3:] if priority else line)


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
