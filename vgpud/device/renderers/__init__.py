# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The renderers, each behind the same interface; one is imported when it is asked for, or all before a fork."""

from importlib import import_module

from vgpud.device.renderers.interface import Renderer
from vgpud.errors import RendererError

# The module and the class of each mode.
_RENDERERS = {
    "null": ("vgpud.device.renderers.null", "Null"),
    "2d": ("vgpud.device.renderers.software_2d", "Software2D"),
    "virglrenderer": ("vgpud.device.renderers.virgl", "Virgl"),
}


def renderer_class(mode: str) -> type[Renderer]:
    """The renderer of a mode; ``RendererError`` when there is none."""
    if mode not in _RENDERERS:
        raise RendererError(f"the renderer {mode!r} is not available in this version")
    module, name = _RENDERERS[mode]
    found: type[Renderer] = getattr(import_module(module), name)
    return found


def import_all() -> None:
    """So that processes forked from now on share what that takes.  No library is opened."""
    for module, _ in _RENDERERS.values():
        import_module(module)
