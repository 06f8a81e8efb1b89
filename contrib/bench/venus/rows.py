# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Rows of Vulkan, measured in turn by vgpud and by libvirglrenderer alone, both on the Debian 13 that `tests/e2e/host` makes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean

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
# Five threads pass a fence on.  What that takes is half or twice as much by which processor the kernel has put each on, where most
# stay for long: so everything is started that often, and all turns count.
FENCES, FENCE_TURNS, FENCE_STARTS = 100, 100, 5
# Microseconds before each fence of some turns of their own, after which everybody sleeps.
REST, RESTED_TURNS = 1000, 6
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
    """What each turn of either took, in seconds."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """By the shortest turns: what the machine does besides only adds to them."""
        return min(self.ours) / min(self.theirs)

    @property
    def total(self) -> float:
        """By what all turns took, where the shortest is one of luck."""
        return sum(self.ours) / sum(self.theirs)


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
        "rates": 1 / frames.best,
        "start": min(starts.ours) * 1e3,
        "starts": starts.best,
    }


def fence(machine: BenchMachine, scale: float) -> Numbers:
    fences, rested, others = Taken(), Taken(), Taken()
    for _ in range(max(1, round(FENCE_STARTS * scale))):
        with both() as runs:
            runs.measure(others, "begin")
            for _ in range(FENCE_TURNS):
                runs.measure(fences, "fences", FENCES)
            for _ in range(RESTED_TURNS):
                runs.measure(rested, "fences", FENCES, REST)
            runs.measure(others, "end")
    return {
        "mean": mean(fences.ours) * 1e6,
        "alone": mean(fences.theirs) * 1e6,
        "ratio": fences.total,
        "best": fences.best,
        "rested": rested.total,
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
            Metric("mean", "empty stream with a fence", "µs", False, None),
            Metric("alone", "the same by the library alone", "µs", False, None),
            Metric("ratio", "round trip, in turns", "x", False, 1.1, absolute=True),
            Metric("best", "by the luckiest turn of both", "x", False, None),
            Metric("rested", "likewise, 1 ms after the last", "x", False, None),
        ),
    ),
)
