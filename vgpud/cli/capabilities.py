# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``--print-capabilities``, as QEMU's vhost-user document has it for back-end programs."""

import json
import sys
from pathlib import Path
from typing import Any

from vgpud.errors import RendererError

PRINT_CAPABILITIES = "--print-capabilities"
RENDER_NODES = Path("/dev/dri")
ENOUGH_MEMORY = 1 << 30
"""Of a render server that has no guest, in bytes."""


def print_capabilities() -> None:
    """JSON on standard output and nothing else.

    A feature is named only when it works: libvirt fails to start a machine on a host without a render node when
    ``render-node`` is named, and ``virgl`` asks for a renderer.  ``renderers``, which is ours, says
    what was found for each mode that needs something of the host, which capability sets it is
    ``without``, and why.
    """
    virgl = _try({"mode": "virglrenderer"})
    features = ["virgl"] if "library" in virgl else []
    if features and _usable_node():
        features.append("render-node")
    described = {
        "type": "gpu",
        "features": features,
        "renderers": {"virglrenderer": virgl, "gfxstream": _try_gfxstream()},
    }
    sys.stdout.write(json.dumps(described) + "\n")


def _try_gfxstream() -> dict[str, Any]:
    """With the sets that are offered when none is chosen; if that fails, what the library offers
    without gfxstream.
    """
    usual = _try({"mode": "gfxstream"})
    alone = (
        _try({"mode": "gfxstream", "capsets": ("cross-domain",)}) if "library" not in usual else {}
    )
    if "library" not in alone:
        return usual
    return {**alone, "without": {"gfxstream": usual["unavailable"]}}


def _usable_node() -> bool:
    nodes = sorted(RENDER_NODES.glob("renderD*"))
    return any(
        "library" in _try({"mode": "virglrenderer", "gpu_device": str(node)}) for node in nodes
    )


def _try(options: dict[str, Any]) -> dict[str, Any]:
    from vgpud.cli.renderer_check import probe

    try:
        return probe({**options, "vulkan_memory": ENOUGH_MEMORY})
    except RendererError as error:
        return {"unavailable": str(error)}
