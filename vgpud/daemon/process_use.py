# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a machine's process has used, as the kernel counts it.

Read from stat and statm of proc(5), which never block.  Files about parts of the process's memory,
such as smaps and cmdline, would block for a process that hangs.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

from vgpud.tree.process import status_fields

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
USER_TICKS, SYSTEM_TICKS = 11, 12
"""Positions among the fields after the name."""


class ProcessUse(NamedTuple):
    """Of a process: ``cpu_seconds`` since its start, and ``memory_bytes``, which is resident and
    has no file behind it, so neither the guest's memory nor images.  Pages that it shares with the
    process that forked it are counted in both.
    """

    pid: int
    cpu_seconds: float
    memory_bytes: int


class MappedUse(NamedTuple):
    """Likewise, for a process with a limit on what it may map; ``mapped_bytes`` is how much it has
    mapped.
    """

    pid: int
    cpu_seconds: float
    memory_bytes: int
    mapped_bytes: int


def process_use(pid: int) -> ProcessUse | None:
    """None when there is no such process."""
    use = mapped_use(pid)
    return None if use is None else ProcessUse(*use[:3])


def mapped_use(pid: int) -> MappedUse | None:
    """Likewise."""
    try:
        fields, statm = status_fields(pid), Path(f"/proc/{pid}/statm").read_text()
    except OSError:
        return None
    mapped, resident, shared, *_ = (int(pages) for pages in statm.split())
    ticks = int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])
    memory = max(0, resident - shared) * PAGE_BYTES
    return MappedUse(pid, ticks / TICKS, memory, mapped * PAGE_BYTES)


def uses(**pids: int) -> dict[str, dict[str, Any] | None]:
    """The use of each process by its kind, for JSON."""
    found = {kind: process_use(pid) for kind, pid in pids.items()}
    return {kind: None if use is None else use._asdict() for kind, use in found.items()}
