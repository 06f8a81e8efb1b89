# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A machine's name where its VMM's command line is hidden: systemd keeps the VMM in a control group
of its own, and everybody may read which processes a group has.

That is a scope in machine.slice, where systemd-machined puts machines of libvirt and others
(systemd.special(7)), or an instance of a service, ``qemu@web.service``.  Only root decides what is
in one, not the VMM.  Users' own slices give no names.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
PROCESSES = "cgroup.procs"
SLICE = ".slice"

# The units' names: machine-qemu\x2d3\x2dweb.scope is libvirt's machine "web", the third machine
# that was started; others have no number.
_IN_SLICE = (
    ("machine.slice", re.compile(r"machine-(?:qemu-[0-9]+-)?(.+)\.scope")),
    ("system.slice", re.compile(r"[^@]+@(.+)\.service")),
)


def name_by_unit(process: int, groups: Path = GROUPS) -> str:
    """The name of the machine whose VMM this process is; empty when it has no unit of its own with
    a name, or the same unit as we.
    """
    for slice_, pattern in _IN_SLICE:
        for unit in _units(groups / slice_):
            name = pattern.fullmatch(_unescaped(unit.name))
            if name and _has(unit, process):
                return "" if _has(unit, os.getpid()) else name[1]
    return ""


def _units(folder: Path) -> Iterator[Path]:
    """The units in a slice and in the slices below it."""
    with suppress(OSError):
        for found in sorted(folder.iterdir()):
            if found.suffix == SLICE:
                yield from _units(found)
            elif found.suffix in (".scope", ".service"):
                yield found


def _has(unit: Path, process: int) -> bool:
    """Whether the unit, or a group below it, has the process."""
    return any(process in _processes(Path(folder)) for folder, _, _ in os.walk(unit))


def _processes(group: Path) -> list[int]:
    # A process whose threads are in several groups is listed only above these.
    with suppress(OSError, ValueError):
        return [int(line) for line in (group / PROCESSES).read_text().split()]
    return []


def _unescaped(name: str) -> str:
    """As systemd-escape(1) does, but hyphens stay: an instance need not mean slashes by them."""
    return re.sub(
        rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), os.fsencode(name)
    ).decode(errors="replace")
