# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""CPU time and memory of a process and its descendants."""

import re
import time
from pathlib import Path

_CPUCLOCK_SCHED = 2


def tree(pid: int) -> list[int]:
    """``pid`` and all that it started, directly or not, and that still run."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += tree(int(child))
    return found


def cpu_time(pid: int) -> float:
    """Seconds of CPU that the threads of one process have used, those that ended included, to the nanosecond."""
    # clock_getcpuclockid(3): the clock of another process, which Python gives for threads of its own only.
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def cpu_time_of_tree(pid: int) -> float:
    return sum(cpu_time(each) for each in tree(pid))


def pss(pid: int) -> int:
    """Bytes: each page that n processes share counts for 1/n."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def pss_of_tree(pid: int) -> int:
    return sum(pss(each) for each in tree(pid))
