# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Processes as /proc has them: whose they are, whether they live, what they cost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PROC = Path("/proc")
GONE = (FileNotFoundError, ProcessLookupError)
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

STATE, PARENT, USER_TICKS, SYSTEM_TICKS = 0, 1, 11, 12
"""Places in /proc/PID/stat, counted from behind the name."""


def wait_until(condition: Callable[[], object], timeout: float = 5.0) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def settled(value: Callable[[], int], seconds: float = 0.2) -> int:
    """The value, once it has not changed for so long."""
    found, since = value(), time.monotonic()
    while time.monotonic() < since + seconds:
        time.sleep(0.005)
        if (now := value()) != found:
            found, since = now, time.monotonic()
    return found


def statistics(process_id: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; None when there is no such process."""
    try:
        text = (PROC / str(process_id) / "stat").read_text(errors="replace")
    except GONE:
        return None
    return text.rpartition(")")[2].split()


def alive(process_id: int) -> bool:
    """Whether it can still do something: a zombie cannot."""
    fields = statistics(process_id)
    return fields is not None and fields[STATE] not in "ZX"


def stopped(process_id: int) -> bool:
    """Whether a signal has stopped it."""
    fields = statistics(process_id)
    return fields is not None and fields[STATE] in "Tt"


def waits_for_the_kernel(process_id: int) -> bool:
    """Whether no signal can end it now, as in a file system that does not answer."""
    fields = statistics(process_id)
    return fields is not None and fields[STATE] == "D"


def parent(process_id: int) -> int:
    """0 when it is gone."""
    fields = statistics(process_id)
    return int(fields[PARENT]) if fields else 0


def children(process_id: int) -> list[int]:
    """Those that live."""
    return [one for one in everyone() if parent(one) == process_id and alive(one)]


def everyone() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def marked(mark: str) -> set[int]:
    """Processes that live and were started with ``mark`` somewhere in their environment.

    A fork has its parent's, so this finds a whole tree wherever its parts have been moved to.
    """
    return {one for one in everyone() if _has_mark(one, mark.encode()) and alive(one)}


def _has_mark(process_id: int, mark: bytes) -> bool:
    try:
        return mark in (PROC / str(process_id) / "environ").read_bytes()
    except (*GONE, PermissionError):
        return False


def cpu_seconds(processes: Iterable[int]) -> float:
    """What they have used so far, of those that live."""
    ticks = 0
    for process_id in processes:
        if fields := statistics(process_id):
            ticks += int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])
    return ticks / TICKS_PER_SECOND


def resident_kib(process_id: int) -> int:
    status = (PROC / str(process_id) / "status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def open_descriptors(process_id: int) -> list[str]:
    """What a process has open, as links say it."""
    found = []
    for entry in (PROC / str(process_id) / "fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return sorted(found)
