# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Each row runs against a real backend, and a wrong picture is an error and no result."""

from collections.abc import Iterator

import pytest

from contrib.bench.machine import BenchMachine, WrongPictureError
from contrib.bench.peers import peers
from contrib.bench.reader import Counter
from contrib.bench.rows import ROWS, Flipper, Row, check_errors, wait_for_reader
from tests.driver.backend import QEMU_PEER

pytestmark = pytest.mark.skipif(
    not QEMU_PEER.exists(), reason="QEMU's vhost-user-gpu is not installed"
)
SCALE = 0.02


@pytest.fixture
def machine() -> Iterator[BenchMachine]:
    peer = next(peer for peer in peers("2d") if peer.name == "qemu")
    with BenchMachine(peer) as machine:
        yield machine


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_gives_all_its_numbers(machine: BenchMachine, row: Row) -> None:
    numbers = row.measure(machine, SCALE)
    assert set(numbers) == {metric.key for metric in row.metrics}
    assert all(value >= 0 for value in numbers.values())


def test_a_torn_frame_is_an_error(machine: BenchMachine) -> None:
    flipper = Flipper(machine, 64, 64)
    flipper.flip()
    flipper.wait(0)
    check_errors(machine)
    first, last = flipper.corners[1]
    first_chain = flipper.stamp()
    last[0] = first[0] + 1
    flipper.queue.offer(first_chain, first_chain + 1, first_chain + 2)
    while machine.reader[Counter.FRAMES] < 2:
        wait_for_reader(machine)
    with pytest.raises(WrongPictureError):
        check_errors(machine)
