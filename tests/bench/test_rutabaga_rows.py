# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The rows of the gfxstream mode run, and give all their numbers."""

from collections.abc import Iterator

import pytest

from contrib.bench import rutabaga
from contrib.bench.machine import BenchMachine
from contrib.bench.peers import peers
from contrib.bench.rows import Row

from ..driver.rutabaga import NOT_BUILT, folder

pytestmark = pytest.mark.skipif(folder() is None, reason=NOT_BUILT)
SCALE = 0.02


@pytest.fixture(scope="module")
def machine() -> Iterator[BenchMachine]:
    subject = next(peer for peer in peers("gfxstream") if peer.name == "vgpud")
    with BenchMachine(subject) as machine:
        yield machine


@pytest.mark.parametrize("row", rutabaga.ROWS, ids=lambda row: row.name)
def test_a_row_gives_all_its_numbers(machine: BenchMachine, row: Row) -> None:
    numbers = row.measure(machine, SCALE)
    assert set(numbers) == {metric.key for metric in row.metrics}
    assert all(value > 0 for value in numbers.values())
