# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One daemon serves many machines: each as if it were alone, and nothing stays of any."""

from __future__ import annotations

import time

import pytest

from tests.driver.aftermath import newcomer
from tests.driver.fleet import Fleet, room_for
from tests.driver.processes import open_descriptors, resident_kib, wait_until
from tests.driver.tree import Tree

MACHINES = 100
ANSWER_SECONDS = 2.0
# What the allocator may keep of a hundred machines' bookkeeping.
KEPT_KIB = 8 << 10


@pytest.mark.timeout(120)
def test_a_hundred_machines_draw_what_they_should_and_leave_nothing() -> None:
    with Tree() as tree, room_for(MACHINES):
        assert tree.listens()
        newcomer(tree.socket_path)
        assert wait_until(lambda: not tree.machines())
        alone, memory = len(tree.processes()), resident_kib(tree.daemon)
        descriptors = len(open_descriptors(tree.daemon))

        began = time.monotonic()
        with Fleet(tree.socket_path, MACHINES, seconds=ANSWER_SECONDS) as fleet:
            print(f"{MACHINES} machines came in {time.monotonic() - began:.1f} s")
            assert len(tree.machines()) == MACHINES
            assert fleet.blind() == []
            assert fleet.blind() == []
            assert [one.display.violations for one in fleet.members] == [[]] * MACHINES
            processes = tree.processes()
            resident = sum(resident_kib(one) for one in processes)
            print(
                f"{len(processes)} processes, {resident >> 10} MiB resident, shared pages counted each time"
            )

        assert wait_until(lambda: not tree.machines(), 10)
        assert wait_until(lambda: len(tree.processes()) <= alone, 10)
        assert wait_until(lambda: len(open_descriptors(tree.daemon)) <= descriptors)
        assert resident_kib(tree.daemon) < memory + KEPT_KIB
        newcomer(tree.socket_path)
        assert tree.terminate() < float("inf")


@pytest.mark.timeout(60)
def test_sigterm_ends_a_fleet_within_a_second() -> None:
    with Tree() as tree, room_for(20), Fleet(tree.socket_path, 20) as fleet:
        assert fleet.blind() == []
        assert tree.terminate() < float("inf")
