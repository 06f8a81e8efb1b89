# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What is said of processes that execute Vulkan."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from vgpud.daemon.vulkan_use import VulkanUse, vulkan_use

from .running import children, wait_until

MAPPED = 1 << 30
# Forks two that wait, of which the second has mapped more.
SERVER = f"""
import mmap, os, sys
for worker in range(2):
    if os.fork() == 0:
        kept = mmap.mmap(-1, {MAPPED}) if worker else None
        break
sys.stdin.read()
"""


@pytest.fixture
def server() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate()


def test_workers_are_counted_and_the_largest_is_measured(server: int) -> None:
    assert wait_until(lambda: vulkan_use(server).mapped_bytes > MAPPED)
    use = vulkan_use(server)
    assert use.server is not None
    assert use.server.pid == server
    assert sorted(worker.pid for worker in use.workers) == sorted(children(server))
    assert len(use.workers) == 2
    assert use.mapped_bytes < 2 * MAPPED
    # What is mapped and was never touched is no memory.
    assert sum(worker.memory_bytes for worker in use.workers) < MAPPED // 4
    assert use.as_json()["workers"][0].keys() == {
        "pid",
        "cpu_seconds",
        "memory_bytes",
        "mapped_bytes",
    }


def test_nobody_executes_any() -> None:
    assert vulkan_use(0) == VulkanUse(None, ())
    assert vulkan_use(0).mapped_bytes == 0
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert vulkan_use(gone.pid) == VulkanUse(None, ())
