# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl list``: the daemons that there are, and their machines, a line each."""

from collections.abc import Iterator

from vgpud.control.protocol import Fields
from vgpud.ctl.daemons import Found, Survey
from vgpud.ctl.status import count, duration, printable

INDENT = "  "


def listing(found: Survey) -> str:
    """The text for a person, without the last line feed."""
    return "\n".join(line for one in found.answered for line in _daemon(one))


def _daemon(found: Found) -> Iterator[str]:
    status = found.status
    yield printable(
        f"{found.path}: vgpud {status['version']}, pid {status['pid']}, mode {status['mode']}, "
        f"up {duration(status['seconds'])}, {count(len(status['machines']), 'machine')}"
    )
    for machine in status["machines"]:
        yield printable(
            f"{INDENT}{machine['name']}: up {duration(machine['seconds'])}, {_state(machine)}"
        )


def _state(machine: Fields) -> str:
    if not machine["answers"]:
        return "does not answer"
    screens = ", ".join(f"{one['width']}x{one['height']}" for one in machine["scanouts"])
    return f"{screens or 'shows nothing'}, {machine['renderer'] or 'starting'}"


def as_json(found: Survey) -> list[Fields]:
    """For programs; the whole of each daemon's status is what ``status --json`` has."""
    return [
        {
            "socket": str(one.path),
            **{name: one.status[name] for name in ("version", "pid", "mode", "seconds")},
            "machines": [
                {name: machine[name] for name in ("name", "seconds", "answers")}
                for machine in one.status["machines"]
            ],
        }
        for one in found.answered
    ]
