# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The renderers, all with the same interface; one is imported when it is asked for, or all before a
fork.
"""

from importlib import import_module

from vgpud.device.renderers.interface import Renderer
from vgpud.errors import RendererError
from vgpud.modes import MODES, available_modes


def renderer_class(mode: str) -> type[Renderer]:
    """The renderer of a mode; ``RendererError`` when there is none."""
    if mode not in available_modes():
        raise RendererError(f"the renderer {mode!r} is not available in this version")
    module, _, name = MODES[mode].renderer.partition(":")
    found: type[Renderer] = getattr(import_module(module), name)
    return found


def import_all() -> None:
    """Imports all, so that processes forked later share their memory.  No library is opened."""
    for mode in available_modes():
        renderer_class(mode)
