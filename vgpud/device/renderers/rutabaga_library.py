# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""librutabaga_gfx_ffi as Python sees it: started for the capability sets that were chosen, which are then compared with what it offers.

It is started once in a process, and a process that cannot start it may be ended by it: whoever only wants to know starts
``python -m vgpud.device.renderers.probe``.
"""

import os
from collections.abc import MutableMapping
from typing import Any

from vgpud.device import render_server
from vgpud.device.misleading import clean_environment
from vgpud.device.renderers.offered import Offered, offer
from vgpud.errors import RendererError
from vgpud.link.messages import RendererOptions
from vgpud.modes import CAPSETS, default_capsets
from vgpud.native import ffi, lib

MODE = "gfxstream"
CROSS_DOMAIN, GLES = "cross-domain", "gfxstream-gles"

# The library's words for: host memory is made as files that others can map.
FEATURES = "ExternalBlob:enabled:SystemBlob:enabled"

# The Vulkan loader's word for drivers that it is to leave out (its document LoaderInterfaceArchitecture.md).
FOR_GUESTS = ",".join(f"{name}*" for name in render_server.FOR_GUESTS)

HOW_TO_GET_IT = "install it (Fedora: rutabaga-gfx-ffi, Arch: rutabaga-ffi; other systems build it from source), or take --gpu-mode 2d"
HOW_TO_GET_GFXSTREAM = (
    "take a library that was built with gfxstream, or --capset cross-domain, or --gpu-mode 2d"
)


def wanted_capsets(options: RendererOptions) -> tuple[str, ...]:
    """The capability sets to offer, in their order: what was chosen, or all that need no choice."""
    usual = tuple(name for name in default_capsets(MODE) if options.gles or name != GLES)
    return options.capsets or usual


def mask_of(names: tuple[str, ...]) -> int:
    """A bit for each set's number."""
    return sum(1 << CAPSETS[name].capset_id for name in set(names))


def needs_gfxstream(names: tuple[str, ...]) -> bool:
    """Whether more than cross-domain, which is a part of the library itself, is among them."""
    return names != (CROSS_DOMAIN,)


def not_taken(options: RendererOptions, names: tuple[str, ...]) -> tuple[str, ...]:
    """What was asked for and the library has no word for, a line each."""
    lines = []
    if options.glx:
        lines.append("--use-glx is not passed on: the library draws by EGL alone")
    if GLES in names and not options.egl:
        lines.append("--use-egl=false is not passed on: the library draws OpenGL ES by EGL alone")
    if not options.surfaceless:
        lines.append("--use-surfaceless=false is not passed on: the library uses no window system")
    if options.gpu_device and needs_gfxstream(names):
        lines.append(
            f"the library cannot be told to draw with {options.gpu_device}: no other GPU is left open to it"
        )
    if options.transport == "dmabuf":
        lines.append(
            "frames are sent as pixels, not as DMA buffers: the library does not describe any"
        )
    return tuple(lines)


def _prepare(environment: MutableMapping[str, str]) -> None:
    # Its OpenGL ES waits for a window system otherwise, for ever.
    environment["EGL_PLATFORM"] = "surfaceless"
    # Its Vulkan asks every driver that is installed, those too that speak to a device such as we are.
    environment.setdefault("VK_LOADER_DRIVERS_DISABLE", FOR_GUESTS)


class RutabagaLibrary:
    """The library, started; ``RendererError`` says why not, in one line, and what to try."""

    description: str
    pointer: Any
    offered: tuple[Offered, ...]
    warnings: tuple[str, ...]

    def __init__(self, options: RendererOptions) -> None:
        names = wanted_capsets(options)
        clean_environment(os.environ)
        if needs_gfxstream(names):
            _prepare(os.environ)
        self.pointer = self._open(options, names)
        # Some releases draw in 2D, in silence, when they cannot do what they were asked to.
        self.offered = tuple(self._offer(name) for name in names)
        self.warnings = not_taken(options, names)

    def _open(self, options: RendererOptions, names: tuple[str, ...]) -> Any:
        """Describes it, too."""
        text = ffi.new("char[]", lib.RUTABAGA_TEXT)
        features = FEATURES if needs_gfxstream(names) else ""
        pointer = lib.rutabaga_open(
            mask_of(names), os.fsencode(options.wayland), features.encode(), text
        )
        self.description = ffi.string(text).decode(errors="replace")
        if pointer == ffi.NULL:
            advice = _advice(names, self.description)
            raise RendererError(f"gfxstream cannot start: {self.description}; {advice}")
        return pointer

    def _offer(self, name: str) -> Offered:
        found = offer(self.pointer, CAPSETS[name].capset_id)
        if found is None:
            raise RendererError(
                f"{self.description} does not offer the capability set {name}; {HOW_TO_GET_GFXSTREAM}"
            )
        return found


def _advice(names: tuple[str, ...], reason: str) -> str:
    if "cannot open shared object" in reason:
        return HOW_TO_GET_IT
    if " has no " in reason:
        return "take release 0.1.3 or a later one of it, or --gpu-mode 2d"
    return HOW_TO_GET_GFXSTREAM if needs_gfxstream(names) else "take --gpu-mode 2d"
