# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A forked process puts what it allocates in one place, and not into holes of pages that it
shares.
"""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, json
import vgpud.device.process, vgpud.session.process
from vgpud.spawner import prepared
prepared.prepare()
kept = {size: [bytes(size - 33) for _ in range(24)] for size in (48, 112, 208)}
malloc = ctypes.CDLL(None).malloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
found = {size: [id(one) for one in kept[size]] for size in kept}
found |= {size: [malloc(size) for _ in range(24)] for size in (1040, 2064)}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def addresses() -> dict[str, list[int]]:
    """Where two dozen objects, or blocks, of each size came to lie."""
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, timeout=60
    ).stdout
    found: dict[str, list[int]] = json.loads(output)
    return found


@pytest.mark.parametrize("size", [48, 112, 208, 1040, 2064])
def test_what_is_allocated_lies_together(addresses: dict[str, list[int]], size: int) -> None:
    found = addresses[str(size)]
    pages = {place // 4096 for address in found for place in (address, address + size - 1)}
    # One more where it begins, and a few for what has been freed since: unprepared, it is a page for nearly each.
    assert len(pages) <= 24 * (size + 16) // 4096 + 5
