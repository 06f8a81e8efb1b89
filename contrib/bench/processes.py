# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""CPU time and memory of a process and its descendants."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.driver.memory import GuestMemory
from tests.driver.processes import GONE

_CPUCLOCK_SCHED = 2
STAT_BLOCK = 512
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


def kept_memory(pid: int, guest: GuestMemory) -> int:
    """Bytes that the processes have of their own, and of memory files, mapped or not; the guest's memory is not theirs."""
    files = {_identity(os.fstat(region.fd)): 0 for region in guest.regions}
    guests = set(files)
    private = 0
    for each in tree(pid):
        with suppress(*GONE):
            private += _private(each)
            for fd in Path(f"/proc/{each}/fd").iterdir():
                if str(fd.readlink()).startswith("/memfd:"):
                    status = fd.stat()
                    files[_identity(status)] = status.st_blocks * STAT_BLOCK
    return private + sum(size for key, size in files.items() if key not in guests)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _private(pid: int) -> int:
    """Pages without a file; those that are shared with others in equal parts."""
    found = re.search(
        r"^Pss_Anon:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
    )
    return int(found[1]) * 1024 if found else 0
