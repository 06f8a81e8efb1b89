# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl setup``: tells libvirt and systemd where vgpud is, shows first what it will write, and
undoes it.
"""

import os
import sys
from collections.abc import Callable, Iterable

from vgpud.control.protocol import ControlError
from vgpud.ctl import placed_files
from vgpud.ctl.placed_files import Step
from vgpud.ctl.setup_files import Place, find_program, next_lines, obstacles, wanted_files

Say = Callable[[str], None]
Ask = Callable[[str], bool]


def set_up(undo: bool, yes: bool) -> None:
    """Sets up this host, for this user or, as root, for all; ``ControlError`` and ``OSError``."""
    place = Place(find_program(), os.geteuid(), os.environ)
    (take_back if undo else put)(place, yes, _say, _ask)


def put(place: Place, yes: bool, say: Say, ask: Ask) -> None:
    """Writes the files, if the user agrees."""
    steps = placed_files.steps_to_place(wanted_files(place))
    say(f"For {place.program}{'' if place.user == 0 else ', and this user alone'}:")
    if not _agreed(steps, yes, say, ask, obstacles(place)):
        return
    placed_files.place(steps, place.record())
    say("Done; vgpuctl setup --undo undoes it.  Now run:")
    for line in next_lines(place):
        say(f"  {line}")


def take_back(place: Place, yes: bool, say: Say, ask: Ask) -> None:
    """Undoes what was written, if the user agrees."""
    steps = placed_files.steps_to_undo(place.record())
    if not steps:
        raise ControlError(f"nothing to undo: nothing of {place.record()} is still there")
    if _agreed(steps, yes, say, ask):
        placed_files.undo(steps, place.record())
        say("Done.")


def _agreed(steps: list[Step], yes: bool, say: Say, ask: Ask, doubts: Iterable[str] = ()) -> bool:
    for step in steps:
        say(f"  {step.action:<8} {step.path}{NOTES.get(step.action, '')}")
    for doubt in doubts:
        say(f"Note: {doubt}.")
    if not any(step.changes for step in steps):
        say("There is nothing to do.")
        return False
    return yes or ask("Do it?")


NOTES = {
    placed_files.KEEP: "  (as it is already)",
    placed_files.LEAVE: "  (changed by somebody since)",
}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _ask(question: str) -> bool:
    """Without a terminal nobody can agree, so nothing is done."""
    if not sys.stdin.isatty():
        _say("Nothing was done: run vgpuctl setup --yes to do it without a question.")
        return False
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
