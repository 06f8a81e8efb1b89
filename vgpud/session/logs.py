# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A session's log: records as lines of JSON to the daemon, which adds the machine's name and writes
them.
"""

import json
import os
import sys
import traceback
from typing import TYPE_CHECKING

from loguru import logger

from vgpud.tree.links import PIPE_BYTES

if TYPE_CHECKING:
    from loguru import Message

STANDARD_ERROR = 2
# So that several lines fit while the daemon is busy.
LINE_BYTES = PIPE_BYTES // 2


def set_up(level: str) -> None:
    """Replaces all earlier handlers; ``level`` as the configuration names it."""
    logger.remove()
    logger.add(_write, level=level.upper(), format="{message}", backtrace=False, diagnose=False)


def _write(message: "Message") -> None:
    record = message.record
    extra = dict(record["extra"])
    fields: dict[str, object] = {
        "level": record["level"].name,
        "module": str(extra.pop("module", record["name"])),
        "message": record["message"],
        "extra": extra,
    }
    if record["exception"] is not None:
        fields["exception"] = "".join(traceback.format_exception(record["exception"].value))
    _write_line(_shortened(fields))


def _shortened(fields: dict[str, object]) -> bytes:
    line = json.dumps(fields, default=str).encode()
    while len(line) >= LINE_BYTES:
        longest = max(("message", "exception"), key=lambda name: len(str(fields.get(name, ""))))
        text = str(fields[longest])
        # The end of a traceback is its most useful part.
        fields[longest] = (
            text[-len(text) // 2 :] if longest == "exception" else text[: len(text) // 2]
        )
        line = json.dumps(fields, default=str).encode()
    return line + b"\n"


def _write_line(line: bytes) -> None:
    """If the daemon does not read, or has gone, the line is lost, but nothing waits."""
    try:
        sys.stderr.flush()
        written = os.write(STANDARD_ERROR, line)
        if written < len(line):
            # Ends the line that was cut, so that the next record has its own line.
            os.write(STANDARD_ERROR, b"\n")
    except OSError:
        return


def write_to(descriptor: int) -> None:
    """Makes a copy of the descriptor standard error."""
    os.dup2(descriptor, STANDARD_ERROR)
