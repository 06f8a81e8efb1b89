# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the extension finds out about the processor, and what the kernel says of it."""

import platform
from pathlib import Path

import pytest

from vgpud.native import lib


@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="other processors have other instructions"
)
def test_wide_instructions_are_used_where_the_kernel_says_that_they_are() -> None:
    flags = [
        line.split(":")[1].split()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("flags")
    ]
    assert lib.processor_has_avx2() == any("avx2" in words for words in flags)
