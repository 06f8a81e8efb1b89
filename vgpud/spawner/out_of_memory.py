# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whether the kernel has killed a process of ours because there was no more memory for its control group.

The killed process cannot tell, and its parent only sees SIGKILL, which anybody may send.  Only the
group's own count shows it (Linux' Documentation/admin-guide/cgroup-v2.rst, memory.events).
"""

from __future__ import annotations

from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
# How the line of version 2's only hierarchy begins.
UNIFIED = "0::"
COUNT = "oom_kill"


class OutOfMemoryKills:
    """Counts the kills in this process's control group and all groups below it."""

    def __init__(self, groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> None:
        self._events = _events_of_own_group(groups, own_groups)
        self._seen = self._count()

    def more(self) -> bool:
        """Whether there were any since the last call; false where nobody counts them."""
        before, self._seen = self._seen, self._count()
        return self._seen > before

    def _count(self) -> int:
        try:
            lines = self._events.read_text().splitlines() if self._events else []
            return int(dict(line.split(maxsplit=1) for line in lines).get(COUNT, 0))
        except (OSError, ValueError):
            return 0


def _events_of_own_group(groups: Path, own_groups: Path) -> Path | None:
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(UNIFIED):
            return groups / line.removeprefix(UNIFIED).lstrip("/") / "memory.events"
    return None
