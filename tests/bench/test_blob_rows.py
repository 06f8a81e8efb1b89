# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The rows of guest blobs and of a still screen run, their pictures are right, and they give all their numbers."""

from collections.abc import Iterator

import pytest

from contrib.bench import blobs, still
from contrib.bench.machine import BenchMachine
from contrib.bench.peers import peers
from contrib.bench.rows import Row

SCALE = 0.05


@pytest.fixture(scope="module")
def machine() -> Iterator[BenchMachine]:
    subject = next(peer for peer in peers("2d") if peer.name == "vgpud")
    with BenchMachine(subject) as machine:
        yield machine


@pytest.mark.parametrize("row", blobs.ROWS + still.ROWS, ids=lambda row: row.name)
def test_a_row_gives_all_its_numbers(machine: BenchMachine, row: Row) -> None:
    numbers = row.measure(machine, SCALE)
    assert set(numbers) == {metric.key for metric in row.metrics}
    assert all(value > 0 for value in numbers.values())


def test_a_screen_that_has_not_rested_yet_costs_more(
    machine: BenchMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(still, "REST", 0.0)
    assert still.still(machine, SCALE)["image"] > 1.5
