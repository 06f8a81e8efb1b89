# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A session that was rehearsed takes less memory, and a rehearsal leaves nothing behind."""

import json
import subprocess
import sys
from typing import Any

LEAVES = """
import json, os
from vgpud.session import rehearsal

rehearsal.rehearse()
descriptors = os.listdir("/proc/self/fd")
content = rehearsal.rehearse()
print(json.dumps({
    "content": content,
    "new": len(os.listdir("/proc/self/fd")) - len(descriptors),
    "threads": len(os.listdir("/proc/self/task")),
    "children": open(f"/proc/self/task/{os.getpid()}/children").read(),
}))
"""

# What a forked process that serves a session writes to.
WRITES = """
import json, os, sys
import vgpud.session.process
from vgpud.session import rehearsal
from vgpud.spawner import prepared

if sys.argv[1] == "unrehearsed":
    prepared.rehearse = bool
prepared.prepare()

def private_kib():
    with open("/proc/self/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty"))

reading, writing = os.pipe()
if os.fork() == 0:
    before = private_kib()
    rehearsal.TIMES = 1
    rehearsal.rehearse()
    os.write(writing, json.dumps({"KiB": private_kib() - before}).encode())
    os._exit(0)
os.wait()
print(os.read(reading, 100).decode())
"""


def test_nothing_is_left_of_a_rehearsal() -> None:
    left = _run(LEAVES)
    assert left["content"], "the session has closed the connection of the rehearsal"
    assert left["new"] == 0, "a descriptor is left open"
    assert left["threads"] == 1, "a fork would lose a thread"
    assert left["children"] == ""


def test_a_session_writes_to_less_memory_when_it_was_rehearsed() -> None:
    assert _run(WRITES, "rehearsed")["KiB"] <= _run(WRITES, "unrehearsed")["KiB"] - 200


def _run(program: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-c", program, *arguments]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert run.stderr == "", "a rehearsal is not logged"
    found: dict[str, Any] = json.loads(run.stdout)
    return found
