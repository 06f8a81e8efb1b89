# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whether what libvirglrenderer draws can be handed over as DMA buffers; the library crashes when that is asked in vain."""

import os
from pathlib import Path

from vgpud.device.renderers.virgl_library import RENDER_NODES, VirglLibrary, gl_renderer
from vgpud.link.messages import RendererOptions

SOFTWARE = ("llvmpipe", "softpipe", "swrast", "lavapipe")
"""Mesa's names for renderers that draw without a GPU."""


def why_not_exported(options: RendererOptions, library: VirglLibrary) -> str:
    """Empty when textures have DMA buffers."""
    if not options.egl:
        return "that needs EGL (--use-egl)"
    if not options.gpu_device and not _render_node():
        return f"there is no GPU's render node in {RENDER_NODES} that may be used"
    if any(name in gl_renderer(one) for name in SOFTWARE for one in library.offered):
        return "OpenGL draws in software here"
    return ""


def _render_node() -> Path | None:
    """The first that may be opened, as the library looks for them itself."""
    for path in sorted(RENDER_NODES.glob("renderD*")):
        if os.access(path, os.R_OK | os.W_OK):
            return path
    return None
