# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""CPU time and memory of a process and its descendants."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.driver.processes import GONE

_CPUCLOCK_SCHED = 2
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ ([0-9a-f]+) \S+ \d+\s*(.*)$")
_NUMBER = re.compile(r"^(Rss|Pss|Anonymous):\s+(\d+) kB")


def tree(pid: int) -> list[int]:
    """``pid`` and all that it started, directly or not, and that still run."""
    found = [pid]
    with suppress(*GONE):
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in task.read_text().split():
                found += tree(int(child))
    return found


def cpu_time(pid: int) -> float:
    """Seconds of CPU that the threads of one process have used, also those that have ended, to the
    nanosecond.
    """
    # clock_getcpuclockid(3): the clock of another process; Python has only those of its own
    # threads.
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def cpu_time_of_tree(pid: int) -> float:
    return sum(cpu_time(each) for each in tree(pid))


def memory_of_tree(pid: int) -> int:
    """Bytes that the processes take together: their PSS as if no other process ran the same
    programs and libraries. The kernel's own sum would be smaller here, since the driver runs the same
    interpreter.  So a page of a file counts fully, once for the tree, and only memory without a file
    counts by its PSS.
    """
    nameless = 0
    files: dict[tuple[str, str], int] = {}
    for each in tree(pid):
        for (name, offset), rss, pss, anonymous in _mappings(each):
            shared = rss - anonymous
            if name.startswith("/") and not name.startswith(("/memfd:", "/dev/")):
                nameless += min(anonymous, pss)
                files[name, offset] = max(files.get((name, offset), 0), shared)
            else:
                nameless += pss
    return nameless + sum(files.values())


def _mappings(pid: int) -> Iterator[tuple[tuple[str, str], int, int, int]]:
    """Name and offset, RSS, PSS and anonymous bytes of each mapping; none of a process that has ended meanwhile."""
    key: tuple[str, str] = ("", "")
    numbers: dict[str, int] = {}
    try:
        lines = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    except GONE:
        return
    for line in lines:
        if found := _MAPPING.match(line):
            if numbers:
                yield key, numbers["Rss"], numbers["Pss"], numbers["Anonymous"]
            key, numbers = (found[2], found[1]), {}
        elif found := _NUMBER.match(line):
            numbers[found[1]] = int(found[2]) * 1024
    if numbers:
        yield key, numbers["Rss"], numbers["Pss"], numbers["Anonymous"]
