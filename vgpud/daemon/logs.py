# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Log lines on standard error: for people with a time, for the journal with a priority."""

import os
import sys
from typing import TYPE_CHECKING

from loguru import logger

from vgpud.config.schema import Log

if TYPE_CHECKING:
    from loguru import Record

# sd-daemon(3): the number in front of a line is its priority, as syslog(3) has them.
PRIORITIES = {"DEBUG": 7, "INFO": 6, "SUCCESS": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


_instance = ""


def name_instance(name: str | None) -> None:
    """Each line names it from now on."""
    global _instance
    _instance = name or ""


def set_up(log: Log) -> None:
    """Replaces whatever logged before."""
    journal = log.format == "journal" or (log.format == "auto" and stderr_is_the_journal())
    logger.remove()
    logger.configure(extra={"session": "", "instance": _instance})
    logger.add(
        sys.stderr,
        level=log.level.upper(),
        format=_journal if journal else _text,
        colorize=False,
        backtrace=False,
        # It would write values of variables, a guest's among them.
        diagnose=False,
    )


def stderr_is_the_journal() -> bool:
    """Whether JOURNAL_STREAM names the device and inode of standard error, as systemd.exec(5) says."""
    named = os.environ.get("JOURNAL_STREAM", "")
    try:
        stderr = os.fstat(2)
    except OSError:
        return False
    return named == f"{stderr.st_dev}:{stderr.st_ino}"


def _text(record: "Record") -> str:
    return f"{{time:YYYY-MM-DD HH:mm:ss.SSS}} {{level: <7}} {_message(record)}"


def _journal(record: "Record") -> str:
    priority = PRIORITIES.get(record["level"].name, 6)
    # A bracket would begin a colour.
    return rf"\<{priority}>{_message(record)}"


def _message(record: "Record") -> str:
    names = [name for name in ("instance", "session") if record["extra"].get(name)]
    prefix = "".join(f"{{extra[{name}]}}: " for name in names)
    return f"{prefix}{{message}}\n{{exception}}"
