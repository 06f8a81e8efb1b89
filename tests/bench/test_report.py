# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The benchmark's arithmetic: what it prints is what the README says."""

import json
from pathlib import Path

import pytest

from contrib.bench import report
from contrib.bench.rows import ROWS, Metric, Numbers, Row


def _measure(machine: object, scale: float) -> Numbers:
    return {}


MORE = Metric("rate", "things", "/s", True, 1.5)
LESS = Metric("time", "a thing", "ms", False, 0.5)
ABSOLUTE = Metric("size", "size", "MiB", False, 70, absolute=True)
ROW = Row("row", _measure, (MORE, LESS, ABSOLUTE))
PEERS = ["vgpud", "slow", "fast"]


def samples(metric: Metric, **values: list[float]) -> report.Samples:
    return {(peer, "row", metric.key): found for peer, found in values.items()}


def test_the_ratio_is_to_the_better_peer() -> None:
    more = samples(MORE, vgpud=[30.0], slow=[10.0], fast=[20.0])
    less = samples(LESS, vgpud=[5.0], slow=[20.0], fast=[10.0])
    assert report.ratio(more, PEERS, ROW, MORE) == 1.5
    assert report.ratio(less, PEERS, ROW, LESS) == 0.5


def test_repetitions_count_by_their_median() -> None:
    found = samples(MORE, vgpud=[1.0, 100.0, 2.0])
    assert report.median(found, "vgpud", ROW, MORE) == 2.0


def test_a_bar_is_reached_at_its_very_value_and_missed_beyond() -> None:
    assert report.verdict(samples(MORE, vgpud=[15.0], fast=[10.0]), PEERS, ROW, MORE) is True
    assert report.verdict(samples(MORE, vgpud=[14.9], fast=[10.0]), PEERS, ROW, MORE) is False
    assert report.verdict(samples(LESS, vgpud=[5.1], fast=[10.0]), PEERS, ROW, LESS) is False


def test_an_absolute_bar_needs_no_peer() -> None:
    assert report.verdict(samples(ABSOLUTE, vgpud=[71.0]), ["vgpud"], ROW, ABSOLUTE) is False
    assert report.verdict(samples(ABSOLUTE, vgpud=[69.0]), ["vgpud"], ROW, ABSOLUTE) is True


def test_without_a_peer_there_is_no_verdict_on_a_ratio() -> None:
    assert report.verdict(samples(MORE, vgpud=[15.0]), ["vgpud"], ROW, MORE) is None


def test_the_table_names_what_was_missed() -> None:
    text = report.table(samples(MORE, vgpud=[10.0], fast=[10.0]), ["vgpud", "fast"], [ROW])
    assert "MISSED" in text
    assert "1x" in text


def test_json_has_every_sample() -> None:
    found = samples(MORE, vgpud=[10.0, 12.0], fast=[10.0])
    first = json.loads(report.as_json(found, ["vgpud", "fast"], [ROW]))[0]
    assert first["samples"] == {"vgpud": [10.0, 12.0], "fast": [10.0]}
    assert first["reached"] is False


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_table_goes_between_its_two_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_into(page, "new")
    assert page.read_text() == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"


def test_a_page_without_the_two_lines_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(ValueError, match="no place"):
        report.write_into(page, "new")
    assert page.read_text() == "nothing here\n"
