# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whether the configured renderer can start, checked before the socket is announced.

A graphics library that cannot start may end its process instead of reporting it (GLX without an X
server does), so it is tried in a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vgpud
from vgpud.errors import RendererError
from vgpud.modes import MODES, available_modes

if TYPE_CHECKING:
    from vgpud.config.schema import Config

PROBE = "vgpud.device.renderers.probe"
SECONDS = 20

# When a library ends the process, or never returns.
ADVICE = {
    "virglrenderer": "try other values of --use-egl, --use-glx, --use-gles and --use-surfaceless, or --gpu-mode 2d",
    "gfxstream": "try other values of --capset, one by one, other drivers (VK_DRIVER_FILES), or --gpu-mode 2d",
}


def check_renderer(config: Config) -> None:
    """``RendererError``, with one line that says what to try, when it cannot start."""
    renderer = config.renderer
    mode = MODES[renderer.mode]
    if not mode.renderer:
        available = ", ".join(available_modes())
        raise RendererError(
            f"the mode {renderer.mode} is not available in this version; available: {available}"
        )
    if mode.built_in:
        return
    probe(
        {
            "mode": renderer.mode,
            "capsets": renderer.capsets,
            "egl": renderer.egl,
            "glx": renderer.glx,
            "gles": renderer.gles,
            "surfaceless": renderer.surfaceless,
            "gpu_device": str(renderer.gpu_device or ""),
            "wayland": str(renderer.wayland or ""),
            "vulkan_memory": config.limits.vulkan_memory,
        }
    )


def probe(options: dict[str, Any]) -> dict[str, Any]:
    """What a mode that needs a library offers with these options, found out in a process of its
    own.
    """
    mode = options["mode"]
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", PROBE, json.dumps(options)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path(vgpud.__file__).parent.parent)},
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RendererError(f"{mode} did not start within {SECONDS} s; {ADVICE[mode]}") from None
    return _result(mode, done.returncode, done.stdout)


def _result(mode: str, status: int, output: bytes) -> dict[str, Any]:
    try:
        found = dict(json.loads(output))
    except ValueError:
        raise RendererError(
            f"{mode} {_ending(status)} when it was started; {ADVICE[mode]}"
        ) from None
    if "reason" in found:
        raise RendererError(str(found["reason"]))
    return found


def _ending(status: int) -> str:
    if status < 0:
        return f"crashed ({signal.Signals(-status).name})"
    return f"ended with status {status}"
