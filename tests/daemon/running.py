# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The daemon as a process, as its users start it."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..driver.backend import Backend

COMMAND = (sys.executable, "-m", "vgpud")


def daemon(*options: str) -> Backend:
    """The daemon, listening soon."""
    return Backend(lambda path: [*COMMAND, "--socket-path", str(path), *options])


def wait_until(condition: Callable[[], bool], timeout: float = 5.0) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def children(process_id: int) -> list[int]:
    """The device processes of a daemon."""
    lists = Path(f"/proc/{process_id}/task").glob("*/children")
    return [int(number) for text in lists for number in text.read_text().split()]


def settled_descriptors(process_id: int) -> Sequence[str]:
    """What a process has open, once that does not change any more."""
    found, same = open_descriptors(process_id), 0
    while same < 5:
        time.sleep(0.02)
        again = open_descriptors(process_id)
        found, same = again, same + 1 if again == found else 0
    return found


def open_descriptors(process_id: int) -> Sequence[str]:
    """What a process has open."""
    found = []
    for entry in Path(f"/proc/{process_id}/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return sorted(found)
