# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The GPU modes and the capability sets: one registry, for options, the start, the device and what is shown of it."""

from typing import NamedTuple


class Mode(NamedTuple):
    """What draws; ``renderer`` is its class, MODULE:NAME, or empty where this version has none."""

    renderer: str
    built_in: bool = False
    """Whether nothing that it needs could be missing."""
    exports: bool = False
    """Whether what it draws may have DMA buffers."""


class CapabilitySet(NamedTuple):
    """VIRTIO 1.2, 5.7.6.8, and its successors: what drivers know it by, and the mode that implements it."""

    capset_id: int
    mode: str
    available: bool = False
    """Whether this version has it."""


# As the values of --gpu-mode and --capset are listed.
MODES = {
    "2d": Mode("vgpud.device.renderers.software_2d:Software2D", built_in=True),
    "null": Mode("vgpud.device.renderers.null:Null", built_in=True),
    "virglrenderer": Mode("vgpud.device.renderers.virgl:Virgl", exports=True),
    "gfxstream": Mode(""),
}
CAPSETS = {
    "virgl": CapabilitySet(1, "virglrenderer", available=True),
    "virgl2": CapabilitySet(2, "virglrenderer", available=True),
    "venus": CapabilitySet(4, "virglrenderer"),
    "drm": CapabilitySet(6, "virglrenderer"),
    "gfxstream-vulkan": CapabilitySet(3, "gfxstream"),
    "gfxstream-gles": CapabilitySet(8, "gfxstream"),
    "gfxstream-composer": CapabilitySet(9, "gfxstream"),
    "cross-domain": CapabilitySet(5, "gfxstream"),
}


def available_modes() -> tuple[str, ...]:
    """The names of those that this version has."""
    return tuple(name for name, mode in MODES.items() if mode.renderer)


def available_capsets(mode: str) -> tuple[str, ...]:
    """The names of those that a mode offers when none was chosen, in their order; a driver takes the last it knows."""
    return tuple(name for name, one in CAPSETS.items() if one.available and one.mode == mode)


def capset_name(capset_id: int) -> str:
    """As in CTX_CREATE's context_init, where 0 is the renderer's choice."""
    names = {one.capset_id: name for name, one in CAPSETS.items()}
    return names.get(capset_id, str(capset_id)) if capset_id else "default"
