# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The fleet's part of the benchmark measures what it says, on a small fleet."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from contrib.bench import fleet, report
from contrib.bench.peers import Peer


def _arguments(socket_path: Path) -> Sequence[str | Path]:
    return [sys.executable, "-m", "vgpud", "--socket-path", socket_path]


SUBJECT = Peer(report.SUBJECT, lambda: True, _arguments)


@pytest.mark.timeout(120)
def test_every_number_of_the_table_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "IDLE_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(fleet, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(fleet, "LATENCIES", 20)
    floods = ("moves", "requests", "computing")
    numbers = fleet.measure(SUBJECT, 3, 10, floods, lambda text: None)
    assert numbers.keys() == {metric.key for metric in fleet.FleetRow(floods).metrics}
    assert 1 < numbers["further"] < numbers["first_with_daemon"] < 200
    assert 0 < numbers["first_command"] <= numbers["first_command_max"]
    assert numbers["processes_left"] == 0
    assert all(numbers[f"{what}_{flood}"] > 0 for what in ("cursor", "config") for flood in floods)
