# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What ``vgpuctl`` can be told to do: one function for each command, in a table.  A function returns the exit status."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from vgpud.control.client import Client
from vgpud.control.protocol import ControlError, Fields, control_path, is_meant
from vgpud.ctl.daemons import chosen, has_machine, several, survey
from vgpud.ctl.rates import add_rates
from vgpud.ctl.status import count, screenful
from vgpud.errors import EXIT_OK

SAMPLE_SECONDS = 0.5  # for which rates are first measured
EXIT_BROKEN = 1
CLEAR_SCREEN = "\x1b[H\x1b[2J"

Arguments = argparse.Namespace


# --- several daemons


def _list(arguments: Arguments) -> int:
    from vgpud.ctl import listing

    found = survey()
    if arguments.json:
        _say(json.dumps(listing.as_json(found), indent=2))
    elif found.answered:
        _say(listing.listing(found))
    elif not found.closed:
        _say("no daemon")
    if found.closed:
        _warn(f"{count(found.closed, 'more daemon')} may not be asked by this user")
    return EXIT_OK


def _status(arguments: Arguments) -> int:
    for seen in _looks(arguments, arguments.watch):
        if arguments.json:
            _say(json.dumps(_whole(arguments, seen), indent=2))
        else:
            room = _room()
            texts = [screenful(status, room) for _, status in seen]
            _show("\n\n".join(texts), bool(arguments.watch))
    return EXIT_OK


def _whole(arguments: Arguments, seen: list[tuple[Path, Fields]]) -> Any:
    named = [{"socket": str(path), **status} for path, status in seen]
    return named if arguments.all else named[0]


def _top(arguments: Arguments) -> int:
    from vgpud.ctl.top import Seen, table

    for number, seen in enumerate(_looks(arguments, arguments.interval)):
        _show(table([Seen(*one) for one in seen], _room()), again=True)
        if arguments.count and number + 1 >= arguments.count:
            break
        if not sys.stdout.isatty():
            _say("")
    return EXIT_OK


def _looks(arguments: Arguments, interval: float | None) -> Iterator[list[tuple[Path, Fields]]]:
    """The status of each daemon to look at, with rates; repeated when there is an interval."""
    wanted = arguments.machine
    paths = several(arguments.all, lambda: chosen(arguments.socket_path, wanted))
    before = _of_each(paths, _ask_status, arguments.all)
    if wanted is not None and not any(has_machine(one, wanted) for one in before.values()):
        raise ControlError(f"there is no machine {wanted}")
    # Without machines there are no rates to measure.
    if any(status["machines"] for status in before.values()):
        time.sleep(min(SAMPLE_SECONDS, interval or SAMPLE_SECONDS))
    while True:
        rated = partial(_rated, before=before)
        before = _of_each(before, rated, arguments.all)
        yield [(path, _only(status, wanted)) for path, status in before.items()]
        if not interval:
            return
        time.sleep(interval)


def _of_each(
    paths: Iterable[Path], look: Callable[[Path], Fields], every: bool
) -> dict[Path, Fields]:
    """With ``every``, daemons that do not answer are only warned of; a daemon that was chosen must
    answer.
    """
    found = {}
    for path in paths:
        try:
            found[path] = look(path)
        except ControlError as error:
            if not every:
                raise
            _warn(f"{path}: {error}")
    return found


def _rated(path: Path, before: dict[Path, Fields]) -> Fields:
    status = _ask_status(path)
    try:
        add_rates(before[path], status)
    except (KeyError, TypeError):
        raise ControlError(
            f"the daemon has another version, {status.get('version')}, whose status vgpuctl cannot "
            f"read"
        ) from None
    return status


def _ask_status(path: Path) -> Fields:
    with _client(path) as client:
        return client.ask("status")[0]


def _only(status: Fields, machine: str | None) -> Fields:
    if machine is None:
        return status
    return status | {
        "machines": [
            one for one in status["machines"] if is_meant(one["name"], one["number"], machine)
        ]
    }


def _events(arguments: Arguments) -> int:
    from vgpud.ctl import events

    paths = several(arguments.all, lambda: chosen(arguments.socket_path, arguments.machine))
    for path, event in events.follow(paths, arguments.machine):
        _say(events.as_json(path, event) if arguments.json else events.line(event))
    return EXIT_OK


def _doctor(arguments: Arguments) -> int:
    from vgpud.ctl.doctor import report
    from vgpud.ctl.doctor.checks import examine
    from vgpud.ctl.doctor.finding import Verdict
    from vgpud.ctl.doctor.host import Host

    results = examine(Host(arguments.qemu), arguments.machine)
    if arguments.json:
        _say(json.dumps(report.as_json(results), indent=2))
    else:
        _say(report.text(results))
    return EXIT_BROKEN if report.worst(results) == Verdict.BROKEN else EXIT_OK


# --- one daemon


def _screenshot(arguments: Arguments) -> int:
    from vgpud.ctl.screenshot import save

    if arguments.file is None and sys.stdout.isatty():
        raise ControlError("a terminal cannot show a picture: name a file, or redirect the output")
    with _meant(arguments) as client:
        screen, descriptors = client.ask(
            "screen", scanout=arguments.scanout, machine=arguments.machine
        )
        try:
            save(screen, descriptors[0], arguments.file)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
    return EXIT_OK


def _metrics(arguments: Arguments) -> int:
    from vgpud.ctl.metrics import exposition

    paths = several(arguments.all, lambda: chosen(arguments.socket_path))
    statuses = _of_each(paths, _ask_status, arguments.all)
    try:
        text = exposition(*statuses.values())
    except (KeyError, TypeError):
        versions = ", ".join(str(one.get("version")) for one in statuses.values())
        raise ControlError(
            f"a daemon has another version ({versions}), whose status vgpuctl cannot read"
        ) from None
    sys.stdout.write(text)
    return EXIT_OK


def _displays(arguments: Arguments) -> int:
    width, height = arguments.size or (None, None)
    with _meant(arguments) as client:
        done, _ = client.ask(
            "set-display",
            scanout=arguments.scanout,
            machine=arguments.machine,
            width=width,
            height=height,
        )
    if not done["announced"]:
        _warn(
            f"output {arguments.scanout} is changed, but the guest will see that only when it "
            f"starts next: "
            "the front-end does not announce it"
        )
    return EXIT_OK


def _log_level(arguments: Arguments) -> int:
    with _meant(arguments) as client:
        client.ask("log-level", level=arguments.level)
    return EXIT_OK


# --- no daemon


def _setup(arguments: Arguments) -> int:
    from vgpud.ctl.setup import set_up

    set_up(arguments.undo, arguments.yes)
    return EXIT_OK


def _meant(arguments: Arguments) -> Any:
    return _client(chosen(arguments.socket_path, getattr(arguments, "machine", None)))


@contextmanager
def _client(path: Path) -> Iterator[Client]:
    with closing(Client(control_path(path))) as client:
        yield client


# --- for people


def _room() -> int | None:
    """Lines of the terminal, if it is one."""
    return shutil.get_terminal_size().lines - 1 if sys.stdout.isatty() else None


def _show(text: str, again: bool) -> None:
    if again and sys.stdout.isatty():
        # A line that goes on in the next one would push the first off the screen.
        columns = shutil.get_terminal_size().columns
        text = CLEAR_SCREEN + "\n".join(line[:columns] for line in text.splitlines())
    _say(text)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _warn(text: str) -> None:
    sys.stderr.write(f"vgpuctl: {text}\n")


class Command(NamedTuple):
    """``help`` is its sentence in the help, the manual and the completions."""

    run: Callable[[Arguments], int]
    help: str


COMMANDS = {
    "list": Command(_list, "List every daemon that this user may ask, and its machines."),
    "status": Command(_status, "Show the daemon and the machines that it serves."),
    "top": Command(
        _top, "Show what each machine costs the host, again and again, the busiest first."
    ),
    "events": Command(
        _events,
        "Follow what happens to machines: which connect, leave or are refused, whose device "
        "process is replaced, and whose commands meet a limit.",
    ),
    "doctor": Command(
        _doctor,
        "Say what this host can do, why not more, and what to run to change that; and why a guest "
        "does not draw with OpenGL.",
    ),
    "screenshot": Command(_screenshot, "Save what a scanout shows, as a PNG."),
    "displays": Command(
        _displays, "Plug a display into a machine that has no display socket, or unplug it."
    ),
    "metrics": Command(
        _metrics,
        "Print the numbers of status in Prometheus' text format, labelled with the daemon's socket "
        "(instance) and the machine.",
    ),
    "log-level": Command(_log_level, "Change the least important messages to log."),
    "setup": Command(
        _setup,
        "Tell libvirt and systemd where this vgpud is, after showing what will be written: as root "
        "for all users, otherwise for yourself.",
    ),
}
