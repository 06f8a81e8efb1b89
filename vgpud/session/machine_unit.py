# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a machine is called where its VMM's command line is hidden: systemd keeps it in a control group of its own, and which
processes that has everybody may read.

That is a scope of machine.slice, where systemd-machined has those of libvirt and others (systemd.special(7)), or an instance of a
service, ``qemu@web.service``.  Who may say what is in one is root, not the VMM.  Users' own slices name nothing.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
PROCESSES = "cgroup.procs"
SLICE = ".slice"

# Of units: machine-qemu\x2d3\x2dweb.scope is what libvirt's machine "web" is at the third start of any; others have no number.
_IN_SLICE = (
    ("machine.slice", re.compile(r"machine-(?:qemu-[0-9]+-)?(.+)\.scope")),
    ("system.slice", re.compile(r"[^@]+@(.+)\.service")),
)


def name_by_unit(process: int, groups: Path = GROUPS) -> str:
    """Of the machine whose VMM that is; empty when it has no unit of its own that says it, or one with us."""
    for slice_, pattern in _IN_SLICE:
        for unit in _units(groups / slice_):
            name = pattern.fullmatch(_unescaped(unit.name))
            if name and _has(unit, process):
                return "" if _has(unit, os.getpid()) else name[1]
    return ""


def _units(folder: Path) -> Iterator[Path]:
    """In a slice and in those below it."""
    with suppress(OSError):
        for found in sorted(folder.iterdir()):
            if found.suffix == SLICE:
                yield from _units(found)
            elif found.suffix in (".scope", ".service"):
                yield found


def _has(unit: Path, process: int) -> bool:
    """It or a group below it."""
    return any(process in _processes(Path(folder)) for folder, _, _ in os.walk(unit))


def _processes(group: Path) -> list[int]:
    # One whose threads are in several groups is listed above these alone.
    with suppress(OSError, ValueError):
        return [int(line) for line in (group / PROCESSES).read_text().split()]
    return []


def _unescaped(name: str) -> str:
    """As systemd-escape(1) has it, but for slashes, which an instance need not mean by its hyphens."""
    return re.sub(
        rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), name.encode()
    ).decode(errors="replace")
