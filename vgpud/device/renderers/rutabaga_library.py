# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""librutabaga_gfx_ffi as Python sees it: started for the capability sets that were chosen, which are then compared with what it offers.

It can be started once in a process, and may end a process that cannot start it: to find out whether
it starts, use ``python -m vgpud.device.renderers.probe``.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path
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

# Tells gfxstream to make host memory as files that others can map.
FEATURES = "ExternalBlob:enabled,SystemBlob:enabled"

# The Vulkan loader's pattern for drivers to leave out (its document
# LoaderInterfaceArchitecture.md).
FOR_GUESTS = ",".join(f"{name}*" for name in render_server.FOR_GUESTS)

# Our layer (native/vulkan), and the variables that tell the loader where to look for one.
LAYER, LAYER_FOLDER = "VK_LAYER_VGPUD_no_dma_buf", Path(__file__).with_name("vulkan")
LAYER_PLACES = ("VK_LAYER_PATH", "VK_ADD_LAYER_PATH")

HIDES_ITS_MEMORY = (
    "makes no memory that a guest could map, so gfxstream-vulkan is not offered: "
    "use release 0.1.75 or newer"
)
HOW_TO_GET_IT = (
    "install it (Fedora: rutabaga-gfx-ffi, Arch: rutabaga-ffi; other systems build it from source), "
    "or use --gpu-mode 2d"
)
HOW_TO_GET_GFXSTREAM = (
    "use a library that was built with gfxstream, or --capset cross-domain, or --gpu-mode 2d"
)


def wanted_capsets(options: RendererOptions) -> tuple[str, ...]:
    """The capability sets to offer, in their order: what was chosen, or all that need no choice."""
    usual = tuple(name for name in default_capsets(MODE) if options.gles or name != GLES)
    return options.capsets or usual


def mask_of(names: tuple[str, ...]) -> int:
    """A bit for each set's number."""
    return sum(1 << CAPSETS[name].capset_id for name in set(names))


def needs_gfxstream(names: tuple[str, ...]) -> bool:
    """Whether any of them is not cross-domain, which is part of the library itself."""
    return names != (CROSS_DOMAIN,)


def not_taken(options: RendererOptions, names: tuple[str, ...]) -> tuple[str, ...]:
    """A line for each option that the library does not have."""
    lines = []
    if options.glx:
        lines.append("--use-glx is not passed on: the library draws only by EGL")
    if GLES in names and not options.egl:
        lines.append("--use-egl=false is not passed on: the library draws OpenGL ES only by EGL")
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
    # Otherwise its OpenGL ES waits for a window system, for ever.
    environment["EGL_PLATFORM"] = "surfaceless"
    # Its Vulkan asks every installed driver, also those for guests.
    environment.setdefault("VK_LOADER_DRIVERS_DISABLE", FOR_GUESTS)
    # It ends the process when a software driver makes no DMA buffers although it says that it can.
    place = next(filter(environment.get, LAYER_PLACES), LAYER_PLACES[-1])
    for name, word in ((place, str(LAYER_FOLDER)), ("VK_INSTANCE_LAYERS", LAYER)):
        environment[name] = os.pathsep.join(filter(None, (environment.get(name), word)))


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
        # Some releases silently draw in 2D when they cannot do what they were asked to.
        self.offered = tuple(self._offer(name) for name in names)
        self.warnings = not_taken(options, names)
        if needs_gfxstream(names) and not lib.rutabaga_makes_files(self.pointer):
            self.warnings += (f"{self.description} {HIDES_ITS_MEMORY}",)

    def _open(self, options: RendererOptions, names: tuple[str, ...]) -> Any:
        """Opens and describes it."""
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
        return "use its release 0.1.3 or a later one, or --gpu-mode 2d"
    return HOW_TO_GET_GFXSTREAM if needs_gfxstream(names) else "use --gpu-mode 2d"
