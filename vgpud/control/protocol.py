# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The control socket's protocol: one line of JSON to ask, one to answer.

    {"version": 1, "command": "status"}
    {"version": 1, "result": {…}}          or          {"version": 1, "error": "a sentence"}

A connection carries one request after another, until something comes that is not a request.  File
descriptors come with the answer's first byte.
A client that has asked for "events" is told what happens from then on, until it leaves:

    {"version": 1, "event": {"kind": "connected", …}}
"""

import json
from pathlib import Path
from typing import Any

VERSION = 1
REQUEST_BYTES_MAX = 4096
SUFFIX = ".control"
EVENTS = "events"

Fields = dict[str, Any]


class ControlError(Exception):
    """The request cannot be answered; the text is for the client."""


class NoRequestError(ControlError):
    """It is not a request of this protocol at all: the client may send anything next."""


def control_path(socket_path: Path) -> Path:
    """The control socket that belongs to a daemon's main socket."""
    return socket_path.with_name(socket_path.name + SUFFIX)


def is_called(name: str, wanted: str) -> bool:
    """Whether ``wanted`` means a machine of that name: all of it, or its beginning up to the
    comma.
    """
    return wanted in (name, name.partition(",")[0])


def is_meant(name: str, number: int, wanted: str) -> bool:
    """Whether ``wanted`` means that machine, by its name or by its number."""
    return wanted == str(number) or is_called(name, wanted)


def request(command: str, **arguments: Any) -> bytes:
    """A request's line."""
    return _line({"command": command, **arguments})


def result(fields: Fields) -> bytes:
    """The line of an answer."""
    return _line({"result": fields})


def event(fields: Fields) -> bytes:
    """The line of an event."""
    return _line({"event": fields})


def failure(text: str) -> bytes:
    """The line that says why there is no answer."""
    return _line({"error": text})


def _line(fields: Fields) -> bytes:
    return json.dumps({"version": VERSION, **fields}).encode() + b"\n"


def read_request(line: bytes) -> tuple[str, Fields]:
    """The command and its arguments; ``NoRequestError`` for whatever is not a request."""
    if not line.endswith(b"\n"):
        raise NoRequestError(f"a request has at most {REQUEST_BYTES_MAX} bytes, and ends its line")
    fields = _read(line)
    command = fields.pop("command", None)
    if not isinstance(command, str):
        raise NoRequestError("a request needs a command")
    # No argument has parts, and deep nesting could neither be written again nor be shown in a
    # sentence.
    if any(isinstance(value, list | dict) for value in fields.values()):
        raise NoRequestError("an argument must be a text, a number or null")
    return command, fields


def read_answer(line: bytes) -> Fields:
    """The result; ``ControlError`` when the daemon refused."""
    fields = _read(line)
    if "error" in fields:
        raise ControlError(str(fields["error"]))
    answer = fields.get("result")
    if not isinstance(answer, dict):
        raise ControlError("the daemon's answer has no result")
    return answer


def read_event(line: bytes) -> Fields:
    """The event; ``ControlError`` for a line that is not an event."""
    happened = _read(line).get("event")
    if not isinstance(happened, dict):
        raise ControlError("the daemon sent something that is not an event")
    return happened


def _read(line: bytes) -> Fields:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise NoRequestError("not a line of JSON") from None
    if not isinstance(fields, dict):
        raise NoRequestError("not a JSON object")
    if (version := fields.pop("version", None)) != VERSION:
        raise NoRequestError(f"this speaks version {VERSION} of the protocol, not {version}")
    return fields
