# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The GPU modes and the capability sets: one registry for options, the start, the device and what
vgpuctl shows.
"""

from typing import NamedTuple


class Mode(NamedTuple):
    """What draws; ``renderer`` is its class, MODULE:NAME, or empty where this version has none."""

    renderer: str
    built_in: bool = False
    """Whether it needs nothing that could be missing."""
    exports: bool = False
    """Whether what it draws may be in DMA buffers."""


class CapabilitySet(NamedTuple):
    """VIRTIO 1.2, 5.7.6.8, and later versions: the number that drivers know, and the mode that
    implements it.
    """

    capset_id: int
    mode: str
    available: bool = False
    """Whether this version has it."""
    render_server: bool = False
    """Whether it needs a render server.  Where none is chosen, such a set is offered if it can
    start; if it cannot, the others are still offered.
    """
    shared_memory: bool = False
    """Whether its drivers need the host-visible memory region."""
    by_choice: bool = False
    """Whether it is offered only when it is chosen."""


# In the order in which --gpu-mode and --capset list them.
MODES = {
    "2d": Mode("vgpud.device.renderers.software_2d:Software2D", built_in=True),
    "null": Mode("vgpud.device.renderers.null:Null", built_in=True),
    "virglrenderer": Mode("vgpud.device.renderers.virgl:Virgl", exports=True),
    "gfxstream": Mode("vgpud.device.renderers.gfxstream:Gfxstream"),
}
CAPSETS = {
    "virgl": CapabilitySet(1, "virglrenderer", available=True),
    "virgl2": CapabilitySet(2, "virglrenderer", available=True),
    "venus": CapabilitySet(
        4, "virglrenderer", available=True, render_server=True, shared_memory=True
    ),
    "drm": CapabilitySet(6, "virglrenderer"),
    "gfxstream-vulkan": CapabilitySet(3, "gfxstream", available=True, shared_memory=True),
    "gfxstream-gles": CapabilitySet(8, "gfxstream", available=True),
    "gfxstream-composer": CapabilitySet(9, "gfxstream", available=True),
    "cross-domain": CapabilitySet(5, "gfxstream", available=True, by_choice=True),
}


def available_modes() -> tuple[str, ...]:
    """The names of the modes that this version has."""
    return tuple(name for name, mode in MODES.items() if mode.renderer)


def available_capsets(mode: str) -> tuple[str, ...]:
    """The names of a mode's capability sets in this version, in their order."""
    return tuple(name for name, one in CAPSETS.items() if one.available and one.mode == mode)


def default_capsets(mode: str) -> tuple[str, ...]:
    """The names of the sets that a mode offers when none is chosen, in their order; a driver takes
    the last one that it knows.
    """
    return tuple(name for name in available_capsets(mode) if not CAPSETS[name].by_choice)


def wants_render_server(mode: str, capsets: tuple[str, ...]) -> bool:
    """Whether one of the chosen sets, or of all when none is chosen, needs a render server."""
    return any(
        CAPSETS[name].render_server and CAPSETS[name].mode == mode
        for name in capsets or available_capsets(mode)
    )


def needs_render_server(capset_id: int) -> bool:
    """Whether a render server executes that set's contexts."""
    return any(one.render_server for one in CAPSETS.values() if one.capset_id == capset_id)


def needs_shared_memory(capset_id: int) -> bool:
    """Whether that set is useless for a front-end without host-visible memory."""
    return any(one.shared_memory for one in CAPSETS.values() if one.capset_id == capset_id)


def capset_name(capset_id: int) -> str:
    """The name of a set in CTX_CREATE's context_init, where 0 is the renderer's choice."""
    names = {one.capset_id: name for name, one in CAPSETS.items()}
    return names.get(capset_id, str(capset_id)) if capset_id else "default"
