# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""GL programs at native speed: by vgpud behind the vtest bridge, and by virgl_test_server with the same library.

Each server has a client, and one client at a time may run for a moment: so other load on this
computer affects both equally.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vtest.servers import REFERENCE, SERVERS, SUBJECT, alone, client_environment

from .report import Samples
from .rows import Metric

PROGRAMS = ("glmark2-es2", "Xvfb", "gcc", REFERENCE)
COUNTER = Path(__file__).with_name("streams.c")
PAIRS = 30
# Seconds: of a turn, and until the server of a stopped client has no more work.
TURN, REST = 0.4, 0.05
START_SECONDS, WARM_STREAMS = 60, 100
RATE_BAR = 0.95


@dataclass(frozen=True)
class Scene:
    """A row of the report: a scene of glmark2.  Most frames are one command stream."""

    name: str
    metrics: tuple[Metric, ...] = (
        Metric("rate", "glmark2, command streams", "/s", True, None),
        Metric("ratio", f"against {REFERENCE}, in turns", "x", True, RATE_BAR, absolute=True),
    )


SCENES = tuple(map(Scene, ("build", "texture", "shading", "desktop")))


def missing() -> list[str]:
    """The programs that are not installed."""
    return [name for name in PROGRAMS if not shutil.which(name)]


def measure(scene: Scene, scale: float) -> Samples:
    """The rate of each turn, and for each pair of turns the ratio of vgpud's to the other's."""
    samples: Samples = {}
    with alone(), _display() as display, contextlib.ExitStack() as stack:
        clients = {}
        for name, server in SERVERS.items():
            stack.enter_context(server())
            clients[name] = stack.enter_context(_client(scene, display))
        for pair in range(max(3, round(PAIRS * scale))):
            order = (SUBJECT, REFERENCE) if pair % 2 else (REFERENCE, SUBJECT)
            rates = {name: clients[name].turn() for name in order}
            for name, rate in rates.items():
                samples.setdefault((name, scene.name, "rate"), []).append(rate)
            ratio = rates[SUBJECT] / rates[REFERENCE]
            samples.setdefault((SUBJECT, scene.name, "ratio"), []).append(ratio)
    return samples


class _Client:
    """A glmark2 that is stopped except in its turns."""

    def __init__(self, process: subprocess.Popen[bytes], streams: mmap.mmap) -> None:
        self._process = process
        self._streams = streams
        end = time.monotonic() + START_SECONDS
        while self._count() < WARM_STREAMS:
            if process.poll() is not None or time.monotonic() > end:
                raise ChildProcessError(f"glmark2 does not draw; its status is {process.poll()}")
            time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)
        time.sleep(REST)

    def _count(self) -> int:
        return int(struct.unpack_from("Q", self._streams)[0])

    def turn(self) -> float:
        """Lets it run for a moment; returns its command streams a second."""
        begun, count = time.perf_counter(), self._count()
        self._process.send_signal(signal.SIGCONT)
        time.sleep(TURN)
        self._process.send_signal(signal.SIGSTOP)
        taken = time.perf_counter() - begun
        time.sleep(REST)
        return (self._count() - count) / taken


@contextlib.contextmanager
def _client(scene: Scene, display: str) -> Iterator[_Client]:
    """Draws the scene by the server that was started last, for ever."""
    with tempfile.TemporaryDirectory(prefix="vgpud-bench-") as folder:
        counter, streams = Path(folder, "streams.so"), Path(folder, "streams")
        compiler = ["gcc", "-O2", "-shared", "-fPIC", str(COUNTER), "-o", str(counter), "-ldl"]
        subprocess.run(compiler, check=True)
        streams.write_bytes(bytes(mmap.PAGESIZE))
        with streams.open("r+b") as file:
            shared = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        environment = {
            "DISPLAY": display,
            "LD_PRELOAD": str(counter),
            "VTEST_STREAMS": str(streams),
        }
        process = subprocess.Popen(
            ["glmark2-es2", "--off-screen", "-b", f"{scene.name}:duration=100000"],
            env=client_environment() | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield _Client(process, shared)
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _display() -> Iterator[str]:
    """An X server, which glmark2 needs even when it draws off screen; yields the name of its
    display.
    """
    ours, theirs = os.pipe()
    with os.fdopen(ours) as chosen:
        process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(theirs)], pass_fds=[theirs], stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        try:
            yield f":{chosen.readline().strip()}"
        finally:
            process.terminate()
            process.wait()
