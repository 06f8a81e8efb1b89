# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The two vtest servers that are compared: libvirglrenderer's own, and vgpud behind the bridge, with the same flags."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.vtest.bridge import DEFAULT_SOCKET

# What a client needs to draw by a vtest server.
CLIENT = {"GALLIUM_DRIVER": "virpipe", "LIBGL_ALWAYS_SOFTWARE": "1"}
REFERENCE = "virgl_test_server"
SUBJECT = "vgpud"
START_SECONDS = 20
# A device process keeps no compiled shaders on disk, where one guest's would be another's: so nobody does.
NO_CACHE = {"MESA_SHADER_CACHE_DISABLE": "true"}
# virgl_test_server has no quotas.
CONFIGURATION = '[limits]\nimage_memory = "64GiB"\n'


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """No other program that asks for this has a server meanwhile.

    Mesa before 24 knows no other socket than the default one.
    """
    with DEFAULT_SOCKET.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def client_environment() -> dict[str, str]:
    """For a program that is to draw by whichever server runs."""
    return os.environ | CLIENT


@contextlib.contextmanager
def reference() -> Iterator[list[int]]:
    """virgl_test_server with EGL and OpenGL ES, as vgpud uses them by default; the numbers of its processes."""
    DEFAULT_SOCKET.unlink(missing_ok=True)
    command = [REFERENCE, "--use-egl-surfaceless", "--use-gles"]
    with _running(command) as process:
        _wait_for(DEFAULT_SOCKET)
        yield [process.pid]


@contextlib.contextmanager
def subject(*options_of_bridge: str) -> Iterator[list[int]]:
    """vgpud in the virglrenderer mode, and the bridge."""
    DEFAULT_SOCKET.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="vgpud-vtest-") as folder:
        backend, configuration = Path(folder, "socket"), Path(folder, "vgpud.toml")
        configuration.write_text(CONFIGURATION)
        options = ["--config", str(configuration), "--gpu-mode", "virglrenderer"]
        vgpud = [*_vgpud(), "--socket-path", str(backend), *options]
        bridge = [sys.executable, "-m", "tests.vtest.bridge", "--backend", str(backend)]
        bridge += options_of_bridge
        with _running(vgpud) as daemon:
            _wait_for(backend)
            with _running(bridge) as server:
                _wait_for(DEFAULT_SOCKET)
                yield [daemon.pid, server.pid]


def _vgpud() -> list[str]:
    """What is tested, or where this tree has no compiled extension, as for a benchmark, what is installed."""
    if importlib.util.find_spec("vgpud._native"):
        return [sys.executable, "-m", "vgpud"]
    return ["env", "-u", "PYTHONPATH", str(Path(sys.prefix) / "bin" / "vgpud")]


SERVERS = {SUBJECT: subject, REFERENCE: reference}


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        env=os.environ | NO_CACHE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        # With those that it has started for its clients.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


def _wait_for(path: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"nobody listens at {path}")
        time.sleep(0.02)
