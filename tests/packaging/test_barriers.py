# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Barriers and ordered accesses in the code for arm64, where one that is missing would not show on the machine that tests run on."""

import re
import shutil
import subprocess
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest

from .conftest import SECONDS

LOAD_ACQUIRE, STORE_RELEASE, FULL = r"lda(r|pr)[bh]?", r"stlx?r[bh]?", r"dmb\s+ish"
READ_MODIFY_WRITE = r"ldaxr[bh]?|ldset\w*|ldadd\w*|swp\w*|cas\w*"
# VIRTIO 1.2: 2.7.13 and 2.8.21 say what comes before the indices and flags that the driver reads, 2.7.10 and 2.8.14 what before the
# look at whether it waits.  Both rings' functions have the same names.
EXPECTED = (
    ("has_available", LOAD_ACQUIRE, 2),
    ("take", LOAD_ACQUIRE, 2),
    ("publish", STORE_RELEASE, 2),
    ("queue_notify", FULL, 1),
    ("queue_want_kicks", FULL, 1),
    # What the session and the device process share of a queue and of an image.
    ("queue_give_back", STORE_RELEASE, 1),
    ("canvas_begin_write", STORE_RELEASE, 1),
    ("image_pixels", LOAD_ACQUIRE, 1),
    # The pages that a migration has to send again; fences, which a thread of the library's tells.
    ("dirty_log_mark", READ_MODIFY_WRITE, 1),
    ("fence_ring_retire", STORE_RELEASE, 1),
)

pytestmark = [
    pytest.mark.timeout(SECONDS),
    pytest.mark.skipif(shutil.which("llvm-objdump") is None, reason="llvm is not installed"),
]


@pytest.fixture(scope="module")
def functions(
    wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """By name the instructions of each function that has it."""
    with zipfile.ZipFile(wheels["aarch64"]) as wheel:
        extension = wheel.extract("vgpud/_native.abi3.so", tmp_path_factory.mktemp("arm64"))
    text = subprocess.run(
        ["llvm-objdump", "--disassemble", "--no-show-raw-insn", "--no-leading-addr", extension],
        capture_output=True, text=True, check=True, timeout=SECONDS,
    ).stdout  # fmt: skip
    found = defaultdict(list)
    for name, body in re.findall(r"^<(.*)>:\n((?:[ \t].*\n)+)", text, re.MULTILINE):
        found[name].append(body)
    return found


@pytest.mark.parametrize(("name", "instruction", "count"), EXPECTED, ids=lambda value: str(value))
def test_a_function_orders_its_accesses(
    functions: dict[str, list[str]], name: str, instruction: str, count: int
) -> None:
    bodies = functions[name]
    assert len(bodies) == count, "built otherwise than it was looked at"
    for body in bodies:
        assert re.search(rf"^\s+({instruction})\b", body, re.MULTILINE), body
