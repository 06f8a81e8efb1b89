# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""libvirglrenderer as Python sees it: started with the flags that were chosen, asked for its capability sets.

It belongs to the thread that started it, and a process that cannot start it may be ended by it: whoever only wants to
know starts ``python -m vgpud.device.renderers.probe``.
"""

import grp
import os
import stat
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from vgpud.device.renderers.interface import Capset
from vgpud.errors import RendererError
from vgpud.link.messages import RendererOptions
from vgpud.modes import CAPSETS, available_capsets
from vgpud.native import ffi, lib
from vgpud.wire.virtio_gpu import VIRTIO_GPU_CAPSET_VIRGL2

# What Mesa would read, and be led by to a driver that speaks virgl itself (to a renderer such as we are), or to a window
# system; None: whatever the value is.
MISLEADING: dict[str, frozenset[str] | None] = {
    "GALLIUM_DRIVER": frozenset({"virpipe", "virgl"}),
    "MESA_LOADER_DRIVER_OVERRIDE": frozenset({"virpipe", "virtio_gpu"}),
    "VTEST_SOCKET_NAME": None,
    "EGL_PLATFORM": None,
}


def clean_environment(environment: MutableMapping[str, str]) -> list[str]:
    """Takes out what would lead Mesa astray; the names of what was there."""
    found = [
        name
        for name, values in MISLEADING.items()
        if name in environment and (values is None or environment[name] in values)
    ]
    for name in found:
        del environment[name]
    return found


def flags_of(options: RendererOptions, display: bool) -> int:
    """The library's flags; ``RendererError`` for combinations that it cannot take.

    ``display``: whether there is an X server to be used.
    """
    if not options.egl and not options.glx:
        raise RendererError("virglrenderer draws by EGL or by GLX: give --use-egl or --use-glx")
    # With both the library takes EGL.
    if options.glx and not options.egl and not display:
        raise RendererError("GLX needs an X server and DISPLAY is not set: give --use-egl")
    if options.egl and not options.surfaceless and not options.gpu_device:
        raise RendererError("EGL without --use-surfaceless needs a GPU: give --gpu-device PATH")
    wanted = {
        lib.VIRGL_USE_EGL: options.egl,
        lib.VIRGL_USE_GLX: options.glx,
        lib.VIRGL_USE_GLES: options.gles,
        lib.VIRGL_USE_SURFACELESS: options.surfaceless,
    }
    return sum(flag for flag, chosen in wanted.items() if chosen)


def capset_ids(names: tuple[str, ...]) -> tuple[int, ...]:
    """The numbers of the capability sets to offer, in their order; ``RendererError`` for what there is not."""
    available = available_capsets("virglrenderer")
    for name in names:
        if name not in available:
            raise RendererError(
                f"the capability set {name} is not available in this version; {' and '.join(available)} are"
            )
    return tuple(CAPSETS[name].capset_id for name in names or available)


_CAPS_V2_RENDERER = slice(696, 760)
"""The field ``renderer`` of struct virgl_caps_v2, a protocol's structure: fields are only ever added."""


class Offered(NamedTuple):
    """A capability set and its data."""

    capset: Capset
    data: bytes

    @property
    def renderer(self) -> str:
        """GL_RENDERER of the host's GL, as virgl2 has it for the guest's; empty when it has not."""
        if self.capset.capset_id != VIRTIO_GPU_CAPSET_VIRGL2:
            return ""
        return self.data[_CAPS_V2_RENDERER].partition(b"\0")[0].decode(errors="replace")


class VirglLibrary:
    """The library, started; ``RendererError`` says why not, in one line, and what to try."""

    def __init__(self, options: RendererOptions) -> None:
        wanted = capset_ids(options.capsets)
        flags = flags_of(options, "DISPLAY" in os.environ)
        _check_device(options.gpu_device)
        clean_environment(os.environ)
        text = ffi.new("char[]", lib.VIRGL_TEXT)
        pointer = lib.virgl_open(flags, options.gpu_device.encode(), text)
        self.description: str = ffi.string(text).decode(errors="replace")
        if pointer == ffi.NULL:
            raise RendererError(
                f"virglrenderer cannot start: {self.description}; {_advice(options, self.description)}"
            )
        self.pointer: Any = ffi.gc(pointer, lib.gpu_library_close)
        self.offered = tuple(self._offer(capset_id) for capset_id in wanted)
        self.description += "".join(f"; {one.renderer}" for one in self.offered if one.renderer)

    def _offer(self, capset_id: int) -> Offered:
        version = ffi.new("uint32_t *")
        size = lib.gpu_library_capset_size(self.pointer, capset_id, version)
        if size <= 0:
            raise RendererError(f"{self.description} has no capability set {capset_id}")
        data = ffi.new("uint8_t[]", size)
        # It takes milliseconds and never changes.
        lib.gpu_library_capset_fill(self.pointer, capset_id, version[0], data)
        return Offered(Capset(capset_id, int(version[0]), size), bytes(ffi.buffer(data)))


RENDER_NODES = Path("/dev/dri")
NO_NODES = f"this host has no render node in {RENDER_NODES}; --gpu-mode 2d needs none"
DRM_MAJOR = 226
"""Of graphics devices (linux/major.h)."""


def _check_device(path: str) -> None:
    """The library's own word for a device that cannot be opened would be -1, and one that is none it draws without."""
    if not path:
        return
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise RendererError(f"there is no GPU {path}; {_nodes()}") from None
    except PermissionError:
        group = _group(Path(path).stat().st_gid)
        raise RendererError(
            f"the GPU {path} may not be used by user {os.geteuid()}, who is not in its group, {group}"
        ) from None
    except OSError as error:
        raise RendererError(
            f"the GPU {path} cannot be used: {error.strerror}; {_nodes()}"
        ) from None
    kind = os.fstat(fd)
    os.close(fd)
    if not stat.S_ISCHR(kind.st_mode) or os.major(kind.st_rdev) != DRM_MAJOR:
        raise RendererError(f"the GPU {path} cannot be used: it is no DRM device; {_nodes()}")


def _nodes() -> str:
    """Which render nodes there are instead."""
    nodes = ", ".join(map(str, sorted(RENDER_NODES.glob("renderD*"))))
    return f"this host has {nodes}" if nodes else NO_NODES


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _advice(options: RendererOptions, reason: str) -> str:
    if "cannot open shared object" in reason:
        return "install libvirglrenderer1, or take --gpu-mode 2d"
    if " has no " in reason or "malloc()" in reason:
        return "install another release of libvirglrenderer1, or take --gpu-mode 2d"
    if options.gpu_device:
        return "try without --gpu-device, or --gpu-mode 2d"
    if options.gles:
        return "try --use-gles=false, or --gpu-mode 2d"
    return "install Mesa's EGL (libegl1, libgl1-mesa-dri), or take --gpu-mode 2d"
