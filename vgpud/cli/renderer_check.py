# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whether the renderer that is configured can start, before anybody is told that we are here.

A graphics library that cannot start may end its process instead of saying so (GLX without what it wants does), so it is
tried in one that nobody misses.
"""

import json
import signal
import subprocess
import sys
from typing import Any

from vgpud.config.schema import Config, Renderer
from vgpud.errors import RendererError

PROBE = "vgpud.device.renderers.probe"
SECONDS = 20


def check_renderer(config: Config) -> dict[str, Any]:
    """What the renderer is; ``RendererError``, with one line that says what to try, when it cannot start."""
    if config.renderer.mode != "virglrenderer":
        return {}
    return probe(config.renderer)


def probe(renderer: Renderer) -> dict[str, Any]:
    """Starts the virglrenderer mode in a process of its own."""
    options = {
        "mode": renderer.mode,
        "capsets": renderer.capsets,
        "egl": renderer.egl,
        "glx": renderer.glx,
        "gles": renderer.gles,
        "surfaceless": renderer.surfaceless,
        "gpu_device": str(renderer.gpu_device or ""),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", PROBE, json.dumps(options)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RendererError(
            f"virglrenderer did not start within {SECONDS} s; try --gpu-mode 2d"
        ) from None
    return _result(done.returncode, done.stdout)


def _result(status: int, output: bytes) -> dict[str, Any]:
    try:
        found = json.loads(output)
    except ValueError:
        raise RendererError(
            f"virglrenderer {_ending(status)} when it was started; "
            "try other values of --use-egl, --use-glx, --use-gles and --use-surfaceless, or --gpu-mode 2d"
        ) from None
    if "reason" in found:
        raise RendererError(str(found["reason"]))
    return dict(found)


def _ending(status: int) -> str:
    if status < 0:
        return f"crashed ({signal.Signals(-status).name})"
    return f"ended with status {status}"
