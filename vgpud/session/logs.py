# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A session's log: records as lines of JSON to the daemon, which names the machine and writes them down."""

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
# So that several are under way while the daemon does something else.
LINE_BYTES = PIPE_BYTES // 2


def set_up(level: str) -> None:
    """Replaces whatever logged before: ``level`` as the configuration names it."""
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
        # The end of a traceback says most.
        fields[longest] = (
            text[-len(text) // 2 :] if longest == "exception" else text[: len(text) // 2]
        )
        line = json.dumps(fields, default=str).encode()
    return line + b"\n"


def _write_line(line: bytes) -> None:
    """A daemon that does not read, or has gone, costs the line and no time: this end does not wait."""
    try:
        sys.stderr.flush()
        written = os.write(STANDARD_ERROR, line)
        if written < len(line):
            # The rest of it is read as no record, and the next one as a line of its own.
            os.write(STANDARD_ERROR, b"\n")
    except OSError:
        return


def write_to(descriptor: int) -> None:
    """A copy of it is standard error from now on."""
    os.dup2(descriptor, STANDARD_ERROR)
