# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Log lines on standard error: with a time for people, with a priority for systemd's journal, as JSON for programs.

What is logged may quote a guest: only printable characters are written, so that a guest can neither
forge a line nor control a terminal.
"""

import json
import os
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from loguru import logger

from vgpud.config.schema import Log
from vgpud.daemon.stderr import Stderr

if TYPE_CHECKING:
    from loguru import Message, Record

# sd-daemon(3): the number before a line is its priority, as in syslog(3).
PRIORITIES = {"DEBUG": 7, "INFO": 6, "SUCCESS": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}

# What a line names before its text, in this order; `module` is its source when that is another
# process.
NAMES = ("instance", "session")

_instance = ""


def name_instance(name: str | None) -> None:
    """From now on each line names the instance."""
    global _instance
    _instance = name or ""


def set_up(log: Log) -> None:
    """Replaces all earlier handlers."""
    name = log.format
    if name == "auto":
        name = "journal" if stderr_is_the_journal() else "text"
    logger.remove()
    logger.configure(extra={"session": "", "instance": _instance})
    # Loguru's own tracebacks would show variables' values, also a guest's.
    logger.add(
        _Sink(FORMATS[name]),
        level=log.level.upper(),
        format="{message}",
        colorize=False,
        backtrace=False,
        diagnose=False,
    )


class _Sink:
    """What loguru writes to, and stops when it is replaced."""

    def __init__(self, form: Callable[["Record"], list[str]]) -> None:
        self._form = form
        self._stderr = Stderr()

    def write(self, message: "Message") -> None:
        if left_out := self._stderr.left_out:
            self._stderr.left_out = 0
            self._write(_omission(message.record, left_out))
            if self._stderr.left_out:
                self._stderr.left_out = left_out
        self._write(message.record)

    def _write(self, record: "Record") -> None:
        for line in self._form(record):
            self._stderr.write_line(line)

    def stop(self) -> None:
        self._stderr.close()


def _omission(record: "Record", lines: int) -> "Record":
    """A record in the place of lines that were left out, which says how many; it has the time of
    ``record``.
    """
    left = record.copy()
    left["message"] = f"{lines} lines are missing here: standard error was not read"
    left["level"] = logger.level("WARNING")  # type: ignore[typeddict-item]  # it has the name
    left["exception"] = None
    left["extra"] = {"instance": record["extra"].get("instance", "")}
    left["name"] = __name__
    return left


def stderr_is_the_journal() -> bool:
    """Whether JOURNAL_STREAM names the device and inode of standard error, as systemd.exec(5) says."""
    named = os.environ.get("JOURNAL_STREAM", "")
    try:
        stderr = os.fstat(2)
    except OSError:
        return False
    return named == f"{stderr.st_dev}:{stderr.st_ino}"


def _text(record: "Record") -> list[str]:
    time = f"{record['time']:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    first, *rest = _lines(record)
    return [f"{time} {record['level'].name: <7} {first}", *rest]


def _journal(record: "Record") -> list[str]:
    # To systemd's journal each line is an entry of its own.
    priority = PRIORITIES.get(record["level"].name, 6)
    return [f"<{priority}>{line}" for line in _lines(record)]


def _lines(record: "Record") -> list[str]:
    extra = record["extra"]
    # A machine and its instance may have the same name.
    names = dict.fromkeys(extra[name] for name in NAMES if extra.get(name))
    prefix = "".join(f"{name}: " for name in names)
    return [printable(prefix + record["message"]), *map(printable, _traceback(record).splitlines())]


def _json(record: "Record") -> list[str]:
    extra = dict(record["extra"])
    extra.pop("traceback", None)
    fields = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name.lower(),
        "instance": extra.pop("instance", ""),
        "machine": extra.pop("session", ""),
        "module": extra.pop("module", record["name"]),
        "message": record["message"],
        "extra": extra,
    }
    if exception := _traceback(record):
        fields["exception"] = exception
    return [json.dumps(fields, default=str)]


def _traceback(record: "Record") -> str:
    exception = record["exception"]
    if exception is None:
        # A session's traceback is text already.
        return str(record["extra"].get("traceback", ""))
    return "".join(traceback.format_exception(exception.value))


def printable(text: str) -> str:
    """The text with whatever is not printable written as an escape sequence of Python's."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


FORMATS: dict[str, Callable[["Record"], list[str]]] = {
    "text": _text,
    "journal": _journal,
    "json": _json,
}
