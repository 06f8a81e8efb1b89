# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A Vulkan program's stream, recorded for the benchmark, is executed once more, without QEMU."""

from __future__ import annotations

from contrib.bench.venus.measured import Runs
from contrib.bench.venus.subject import VgpudHost

from . import host


def test_every_result_is_what_it_was(only_vgpud: None) -> None:
    with VgpudHost(host.vgpud_command()) as subject:
        runs = Runs(subject)
        for _ in range(2):
            runs.measure("begin")
            runs.measure("end")
