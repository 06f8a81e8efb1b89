# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Rows of Vulkan, measured in turn by vgpud and by libvirglrenderer alone, both on the Debian 13 that `tests/e2e/host` makes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from tests.e2e import host

from ..machine import BenchMachine
from ..rows import Metric, Numbers, Row
from .measured import Runs
from .reference import Reference
from .subject import VgpudHost

# vgpud's workers keep no compiled shaders on disk: so nobody does.
NO_CACHE = ("MESA_SHADER_CACHE_DISABLE=true",)
REFERENCE = [str(host.ENTER), "env", *NO_CACHE, "PYTHONPATH=/home", "python3", "-m"]
REFERENCE += ["contrib.bench.venus.reference"]
# Frames of one turn, of which a recording has ten, and fences of one.
FRAMES, FRAME_TURNS = 19, 10
# What a fence takes is half or twice as much by where the kernel happens to put the threads: so many turns.
FENCES, FENCE_TURNS = 100, 120
RESTED_EVERY = 4
# Microseconds, after which everybody sleeps.
REST = 1000
RUNS = 3


def missing() -> str:
    """Why Venus cannot be measured here; empty: it can."""
    try:
        host.run("ls", "/usr/libexec/virgl_render_server")
    except (OSError, subprocess.SubprocessError) as error:
        return f"no Debian 13 with virgl_render_server: {error}"
    return ""


@dataclass
class Taken:
    """What each turn of either took, in seconds.  The shortest counts: what the machine does besides only adds to them."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return min(self.ours) / min(self.theirs)

    @property
    def typical(self) -> float:
        return median(self.ours) / median(self.theirs)


class Both:
    """A run of vgpud's and one of the library's, in turns."""

    def __init__(self, subject: Runs, reference: Reference) -> None:
        self._subject, self._reference = subject, reference
        self._ours_first = False

    def measure(self, taken: Taken, name: str, *arguments: int) -> None:
        """A turn of each."""
        self._ours_first = not self._ours_first
        if self._ours_first:
            taken.ours.append(self._subject.measure(name, *arguments))
        taken.theirs.append(self._reference.measure(name, *arguments))
        if not self._ours_first:
            taken.ours.append(self._subject.measure(name, *arguments))


@contextmanager
def both() -> Iterator[Both]:
    with Reference(REFERENCE) as reference, VgpudHost(host.vgpud_command()) as subject:
        yield Both(Runs(subject), reference)


def replay(machine: BenchMachine, scale: float) -> Numbers:
    starts, frames, ends = Taken(), Taken(), Taken()
    with both() as runs:
        for _ in range(max(1, round(RUNS * scale))):
            runs.measure(starts, "begin")
            for _ in range(FRAME_TURNS):
                runs.measure(frames, "frames", FRAMES)
            runs.measure(ends, "end")
    return {
        "rate": 1 / min(frames.ours),
        "alone": 1 / min(frames.theirs),
        "rates": 1 / frames.ratio,
        "start": min(starts.ours) * 1e3,
        "starts": starts.ratio,
    }


def fence(machine: BenchMachine, scale: float) -> Numbers:
    fences, rested, others = Taken(), Taken(), Taken()
    with both() as runs:
        runs.measure(others, "begin")
        for turn in range(max(3, round(FENCE_TURNS * scale))):
            runs.measure(fences, "fences", FENCES)
            if turn % RESTED_EVERY == 0:
                runs.measure(rested, "fences", FENCES, REST)
        runs.measure(others, "end")
    return {
        "median": min(fences.ours) * 1e6,
        "alone": min(fences.theirs) * 1e6,
        "ratio": fences.ratio,
        "typical": fences.typical,
        "rested": rested.ratio,
    }


ROWS = (
    Row(
        "venus",
        replay,
        (
            Metric("rate", "recorded program, frames", "/s", True, None),
            Metric("alone", "the same by the library alone", "/s", True, None),
            Metric("rates", "frames, in turns", "x", True, 0.97, absolute=True),
            Metric("start", "until the first frame", "ms", False, None),
            Metric("starts", "until then, in turns", "x", False, None),
        ),
    ),
    Row(
        "venus-fence",
        fence,
        (
            Metric("median", "empty stream with a fence", "µs", False, None),
            Metric("alone", "the same by the library alone", "µs", False, None),
            Metric("ratio", "round trip, in turns", "x", False, 1.1, absolute=True),
            Metric("typical", "by the medians of both", "x", False, None),
            Metric("rested", "likewise, 1 ms after the last", "x", False, None),
        ),
    ),
)
