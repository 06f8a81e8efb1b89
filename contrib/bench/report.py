# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Medians over the repetitions, ratios to the better peer, and the table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from .rows import Metric

SUBJECT = "vgpud"
BEGIN, END = "<!-- [numbers] -->", "<!-- [end numbers] -->"
Samples = dict[tuple[str, str, str], list[float]]
"""Peer, row and metric's key → one number for each repetition."""


class Reported(Protocol):
    """What this module needs of a row of the table."""

    @property
    def name(self) -> str: ...

    @property
    def metrics(self) -> tuple[Metric, ...]: ...


def median(samples: Samples, peer: str, row: Reported, metric: Metric) -> float | None:
    values = samples.get((peer, row.name, metric.key))
    return statistics.median(values) if values else None


def ratio(samples: Samples, peers: Sequence[str], row: Reported, metric: Metric) -> float | None:
    """vgpud's median over the better peer's."""
    subject = median(samples, SUBJECT, row, metric)
    others = [median(samples, peer, row, metric) for peer in peers if peer != SUBJECT]
    known = [value for value in others if value]
    if subject is None or not known:
        return None
    return subject / (max(known) if metric.more_is_better else min(known))


def verdict(samples: Samples, peers: Sequence[str], row: Reported, metric: Metric) -> bool | None:
    """Whether the bar is reached; None where there is no bar or nothing to compare with."""
    compared = (
        median(samples, SUBJECT, row, metric)
        if metric.absolute
        else ratio(samples, peers, row, metric)
    )
    if metric.bar is None or compared is None:
        return None
    return compared >= metric.bar if metric.more_is_better else compared <= metric.bar


def _bar(metric: Metric) -> str:
    if metric.bar is None:
        return ""
    sign = "≥" if metric.more_is_better else "≤"
    return f"{sign} {metric.bar:g}" + (f" {metric.unit}" if metric.absolute else "x")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(samples: Samples, peers: Sequence[str], rows: Sequence[Reported]) -> str:
    """The table as Markdown."""
    lines = [["row", "", *peers, "ratio", "bar", ""]]
    for row in rows:
        for metric in row.metrics:
            if not any((peer, row.name, metric.key) in samples for peer in peers):
                continue
            compared = ratio(samples, peers, row, metric)
            reached = verdict(samples, peers, row, metric)
            lines.append(
                [
                    row.name,
                    f"{metric.title} ({metric.unit})",
                    *(_number(median(samples, peer, row, metric)) for peer in peers),
                    "" if compared is None else f"{compared:.3g}x",
                    _bar(metric),
                    {True: "reached", False: "MISSED", None: ""}[reached],
                ]
            )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def as_json(samples: Samples, peers: Sequence[str], rows: Sequence[Reported]) -> str:
    """Every sample, median, ratio and verdict."""
    found = [
        {
            "row": row.name,
            "metric": metric.key,
            "unit": metric.unit,
            "samples": {
                peer: samples[peer, row.name, metric.key]
                for peer in peers
                if (peer, row.name, metric.key) in samples
            },
            "medians": {peer: median(samples, peer, row, metric) for peer in peers},
            "ratio": ratio(samples, peers, row, metric),
            "bar": metric.bar,
            "bar_is_absolute": metric.absolute,
            "reached": verdict(samples, peers, row, metric),
        }
        for row in rows
        for metric in row.metrics
    ]
    return json.dumps(found, indent=2)


def write_into(path: Path, text: str) -> None:
    """Replaces what is between the two lines in a file; ValueError when it does not have both."""
    before, found, rest = path.read_text().partition(f"{BEGIN}\n")
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{path} has no place for the numbers")
    path.write_text(f"{before}{found}{text}\n{ended}{after}")
