# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whether what libvirglrenderer draws can be handed over as DMA buffers; the library crashes when
it is asked for a buffer and has none.
"""

import os
from pathlib import Path

from vgpud.device.renderers.virgl_library import RENDER_NODES, VirglLibrary, gl_renderer
from vgpud.link.messages import RendererOptions

SOFTWARE = ("llvmpipe", "softpipe", "swrast", "lavapipe")
"""Mesa's names for renderers that draw without a GPU."""


def why_not_exported(options: RendererOptions, library: VirglLibrary) -> str:
    """Empty when textures have DMA buffers."""
    if not options.egl:
        return "this needs EGL (--use-egl)"
    if not options.gpu_device and not _render_node():
        return f"there is no render node in {RENDER_NODES} that this user may use"
    if any(name in gl_renderer(one) for name in SOFTWARE for one in library.offered):
        return "OpenGL draws in software here"
    return ""


def _render_node() -> Path | None:
    """The first that we may open, which the library would choose too."""
    for path in sorted(RENDER_NODES.glob("renderD*")):
        if os.access(path, os.R_OK | os.W_OK):
            return path
    return None
