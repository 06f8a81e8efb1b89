# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a forked process uses of what was imported before, it does not write to."""

import json
import subprocess
import sys

import pytest

from vgpud.spawner import immortal

PROGRAM = """
import gc, json, os, sys
import vgpud.device.process, vgpud.session.process
from vgpud.spawner import prepared
prepared.prepare()

def private_bytes():
    with open("/proc/self/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) << 10 for line in rollup if line.startswith("Private_Dirty"))

imported = [thing for thing in gc.get_objects() if type(thing).__module__ == "builtins"]
imported += [thing for module in list(sys.modules.values()) for thing in vars(module).values()]
gc.freeze()
reading, writing = os.pipe()
if os.fork() == 0:
    before = private_bytes()
    held = list(imported)
    counts = [*map(sys.getrefcount, (prepared.prepare, prepared, prepared.prepare.__code__, prepared.__doc__))]
    os.write(writing, json.dumps([len(held), private_bytes() - before, min(counts)]).encode())
    os._exit(0)
os.wait()
print(os.read(reading, 100).decode())
"""


@pytest.mark.skipif(
    not immortal.possible(), reason="this Python counts the references to each object (before 3.12)"
)
def test_referring_to_what_was_imported_makes_no_page_private() -> None:
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, timeout=60
    ).stdout
    held, private, least = json.loads(output)
    assert least >= immortal.LEAST_IMMORTAL, (
        "an object of what was imported still counts its references"
    )
    # The list itself, what reading the numbers takes, and the stack.
    assert private <= held * 8 + 256 * 1024
