# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What only the virglrenderer mode has: streams of commands, read-back, and GL programs beside virgl_test_server."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.driver import commands, commands_3d
from tests.driver.backend import Backend, Machine
from tests.driver.commands import Rectangle
from tests.driver.commands_3d import BIND_SCANOUT, Box, Command3D, Resource3D
from tests.driver.frontend import QEMU_FEATURES, Feature
from tests.driver.memory import GuestMemory, MiB
from tests.vtest.servers import REFERENCE, SERVERS, SUBJECT, client_environment

from .prepared import PreparedQueue
from .processes import cpu_time_of_tree

CTX = 1
IN_FLIGHT = 64
WIDTH, HEIGHT = 1920, 1080
PICTURE = 900
ROUNDS = 3
SCENES = ("build", "texture", "shading", "desktop")
# Of vgpud's frame rate to that of virgl_test_server, of commands a second and CPU, and of a flush to a read-back.
RATE_BAR, SUBMIT_BAR, FLUSH_BAR = 0.95, 500_000, 1.10


def table(scale: float) -> str:
    """The lines below the other rows."""
    lines = ["OpenGL (virglrenderer)", *_single(scale)]
    if missing := [
        name for name in ("glmark2-es2", REFERENCE, "xvfb-run") if not shutil.which(name)
    ]:
        lines.append(f"  GL programs: left out, not installed: {', '.join(missing)}")
    else:
        lines += _programs(scale)
    return "\n".join(lines)


def _vgpud(socket_path: Path) -> list[str | Path]:
    program = [sys.executable, "-m", "vgpud", "--gpu-mode", "virglrenderer"]
    return [*program, "--socket-path", socket_path]


def _single(scale: float) -> list[str]:
    """One machine alone."""
    frontend = {"wanted_features": QEMU_FEATURES | Feature.VIRGL}
    guest = {"control_size": 256, "event_idx": True}
    memory = GuestMemory(256 * MiB)
    with (
        Backend(_vgpud) as backend,
        Machine(backend.socket_path, memory=memory, frontend=frontend, guest=guest) as machine,
    ):
        machine.guest.do(commands_3d.ctx_create(CTX))
        return [
            _submits(machine, backend.process.pid, scale, None),
            _submits(machine, backend.process.pid, scale, 1),
            *_flushes(machine, int(60 * scale)),
        ]


def _submits(machine: Machine, pid: int, scale: float, fence_id: int | None) -> str:
    """SUBMIT_3D of one NOP, 64 in flight all the time."""
    request = commands_3d.submit_3d(CTX, commands_3d.NOP, fence_id)
    queue = PreparedQueue(machine.guest.control, [request] * IN_FLIGHT)
    for place in range(queue.size):
        queue.available[2 + place] = place % IN_FLIGHT
    begun, cpu = time.perf_counter(), cpu_time_of_tree(pid)
    done, seen = 0, queue.used[1]
    while (now := time.perf_counter()) < begun + scale:
        used_idx = queue.used[1]
        done += (used_idx - seen) & 0xFFFF
        seen = used_idx
        target = (used_idx + IN_FLIGHT) & 0xFFFF
        if target != queue.idx:
            old, queue.idx = queue.idx, target
            queue.available[1] = target
            queue.kick(old)
    cpu = cpu_time_of_tree(pid) - cpu
    queue.wait()
    if fence_id is None:
        queue.check()
    queue.release()
    title = "SUBMIT_3D of a NOP" + (" with a fence" if fence_id else "")
    bar = "" if fence_id else f"  (to reach: {SUBMIT_BAR} per core)"
    return f"  {title}: {done / (now - begun):.0f} a second, {cpu / done * 1e6:.2f} µs of CPU each{bar}"


def _flushes(machine: Machine, count: int) -> list[str]:
    """A flush of a 1080p resource, which reads it back, and the library's own read-back into guest memory."""
    guest = machine.guest
    whole, box = Rectangle(0, 0, WIDTH, HEIGHT), Box(0, 0, 0, WIDTH, HEIGHT, 1)
    entries = [(guest.memory.allocate(WIDTH * HEIGHT * 4, 4096), WIDTH * HEIGHT * 4)]
    lines = []
    for name, pixel_format in (("BGRX", 2), ("RGBX", 134)):
        number = PICTURE + pixel_format
        bind = Resource3D().bind | BIND_SCANOUT
        picture = Resource3D(format=pixel_format, bind=bind, width=WIDTH, height=HEIGHT)
        guest.do(commands_3d.resource_create_3d(number, picture))
        guest.do(commands.resource_attach_backing(number, entries))
        guest.do(commands_3d.ctx_attach_resource(CTX, number))
        clear = commands_3d.clear(number, pixel_format, (1.0, 0.5, 0.25, 1.0))
        guest.do(commands_3d.submit_3d(CTX, clear, 1))
        guest.do(commands.set_scanout(0, number, whole))
        read = commands_3d.transfer_3d(Command3D.TRANSFER_FROM_HOST_3D, number, box, ctx_id=CTX)
        flush = commands.resource_flush(number, whole)
        reads, flushes = [], []
        for _ in range(count):
            reads.append(_timed(machine, read))
            flushes.append(_timed(machine, flush))
        flushed, read_back, copied = min(flushes), min(reads), _copy()
        lines.append(
            f"  flush of 1080p {name}: {flushed * 1e3:.2f} ms, transfer_read {read_back * 1e3:.2f} ms and a copy "
            f"{copied * 1e3:.2f} ms, ratio {flushed / (read_back + copied):.2f}  (at most {FLUSH_BAR})"
        )
    return lines


def _copy() -> float:
    """The least time that a copy of the picture takes."""
    source, target = bytearray(WIDTH * HEIGHT * 4), bytearray(WIDTH * HEIGHT * 4)
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        memoryview(target)[:] = source
        times.append(time.perf_counter() - begun)
    return min(times)


def _timed(machine: Machine, request: bytes) -> float:
    # The display takes what was sent meanwhile, so that it does not count.
    time.sleep(0.02)
    begun = time.perf_counter()
    machine.guest.do(request)
    return time.perf_counter() - begun


def _programs(scale: float) -> list[str]:
    """glmark2's scenes by both servers in turn."""
    rates: dict[str, dict[str, list[float]]] = {name: {} for name in SERVERS}
    for _ in range(ROUNDS):
        for name, server in SERVERS.items():
            with server():
                for scene, rate in _glmark2(max(1, round(5 * scale))).items():
                    rates[name].setdefault(scene, []).append(rate)
    lines = []
    for scene in SCENES:
        ours, theirs = (statistics.median(rates[name][scene]) for name in (SUBJECT, REFERENCE))
        lines.append(
            f"  glmark2 {scene}: {ours:.0f} frames a second, {REFERENCE} {theirs:.0f}, "
            f"ratio {ours / theirs:.2f}  (to reach: {RATE_BAR})"
        )
    return lines


def _glmark2(seconds: int) -> dict[str, float]:
    scenes = [word for scene in SCENES for word in ("-b", f"{scene}:duration={seconds}")]
    done = subprocess.run(
        ["xvfb-run", "-a", "glmark2-es2", "--off-screen", *scenes],
        env=client_environment(),
        capture_output=True,
        text=True,
        timeout=60 + 8 * seconds,
        check=True,
    )
    return {name: float(rate) for name, rate in re.findall(r"\[(\w+)\].*FPS: (\d+)", done.stdout)}
