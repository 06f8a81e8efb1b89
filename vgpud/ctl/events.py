# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl events``: what happens to machines, a line each, for people or as JSON."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from queue import Queue
from typing import NamedTuple

from vgpud.control.client import Client
from vgpud.control.protocol import ControlError, Fields, control_path, is_called
from vgpud.ctl.status import count, printable


def _left(event: Fields) -> str:
    return f"its session has ended with {event['ending']}" if event["ending"] else ""


def _restarted(event: Fields) -> str:
    times = "" if event["count"] == 1 else f" {event['count']} times"
    return f"another device process{times}, the last: {event['reason']}"


def _quota(event: Fields) -> str:
    used = [
        f"{name} {use['used']}/{use['limit']}"
        for name, use in event["limits"].items()
        if use["limit"] and use["used"] >= FULL * use["limit"]
    ]
    most = f" ({', '.join(used)})" if used else ""
    return f"{count(event['count'], 'command')} refused, out of memory{most}"


UNREAD_MAX = 64
FULL = 0.9
"""A limit is named in a refusal when this part of it is used."""

TEXTS: dict[str, Callable[[Fields], str]] = {
    "connected": lambda event: f"user {event['user']}",
    "left": _left,
    "refused": lambda event: f"process {event['process']}: {event['reason']}",
    "restarted": _restarted,
    "given-up": lambda event: f"until the guest starts again: {event['reason']}",
    "quota": _quota,
    "silent": lambda event: "its session does not answer",
    "answers": lambda event: "its session answers again",
    "lost": lambda event: f"{count(event['count'], 'event')} came faster than they were read",
}


def line(event: Fields) -> str:
    """An event for a person: when, what, and which machine."""
    when = datetime.fromtimestamp(event["time"]).astimezone().strftime("%F %T")
    parts = [f"{when} {event['kind']}"]
    if event["machine"] is not None:
        parts.append(event["machine"])
    describe = TEXTS.get(event["kind"])
    if describe is not None and (text := describe(event)):
        parts.append(text)
    return printable(": ".join(parts))


class _Said(NamedTuple):
    """An event from a daemon; None when the daemon sends no more."""

    path: Path
    event: Fields | None


def follow(paths: list[Path], machine: str | None) -> Iterator[tuple[Path, Fields]]:
    """The events of each of these daemons, of that machine or of all; ``ControlError`` when the
    last daemon has ended.
    """
    # When our reader stops, we stop reading the daemon, which then counts the events it leaves out.
    said: Queue[_Said] = Queue(UNREAD_MAX)
    for path in paths:
        events = Client(control_path(path)).follow()
        threading.Thread(target=_pass_on, args=(path, events, said), daemon=True).start()
    left = len(paths)
    while left:
        path, event = said.get()
        if event is None:
            left -= 1
        elif machine is None or event["kind"] == "lost" or _is_of(event, machine):
            yield path, event
    raise ControlError("the daemon has ended")


def _pass_on(path: Path, events: Iterator[Fields], said: "Queue[_Said]") -> None:
    try:
        for event in events:
            said.put(_Said(path, event))
    finally:
        said.put(_Said(path, None))


def _is_of(event: Fields, machine: str) -> bool:
    return event["machine"] is not None and is_called(event["machine"], machine)


def as_json(path: Path, event: Fields) -> str:
    """A line for programs."""
    return json.dumps({"socket": str(path), **event})
