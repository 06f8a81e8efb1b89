# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Flips of guest blobs, in turn with flips of 2D resources: the same pictures to the same display, with one command less to carry out."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from .machine import BenchMachine
from .rows import Metric, Numbers, Row, flips

TURNS = 3


def against_images(width: int, height: int) -> Callable[[BenchMachine, float], Numbers]:
    """In turn, so that other load on this computer affects both equally."""

    def measure(machine: BenchMachine, scale: float) -> Numbers:
        turns = [
            (
                flips(width, height)(machine, scale / TURNS),
                flips(width, height, blobs=True)(machine, scale / TURNS),
            )
            for _ in range(TURNS)
        ]
        return {
            "rate": median(blob["rate"] for _, blob in turns),
            "cpu": median(blob["cpu"] for _, blob in turns),
            "rates": median(blob["rate"] / image["rate"] for image, blob in turns),
            "ratio": median(blob["cpu"] / image["cpu"] for image, blob in turns),
        }

    return measure


METRICS = (
    Metric("rate", "guest blobs, delivered", "/s", True, None),
    Metric("cpu", "CPU of all processes", "ms each", False, None),
    Metric("rates", "delivered, to 2D resources", "x", True, None),
    Metric("ratio", "CPU, to 2D resources", "x", False, 1.0, absolute=True),
)

ROWS = (
    Row("blob-1080p", against_images(1920, 1080), METRICS, draws=True),
    Row("blob-4k", against_images(3840, 2160), METRICS, draws=True),
)
