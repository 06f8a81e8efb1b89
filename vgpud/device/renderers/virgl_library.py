# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""libvirglrenderer as Python sees it: started with the flags that were chosen, asked for its capability sets.

It belongs to the thread that started it, and may end a process that cannot start it: to find out
whether it starts, use ``python -m vgpud.device.renderers.probe``.
"""

import grp
import os
import stat
from pathlib import Path
from typing import Any

from vgpud.device import render_server
from vgpud.device.misleading import clean_environment
from vgpud.device.renderers.interface import NO_SERVER, Server
from vgpud.device.renderers.offered import Offered, offer
from vgpud.errors import RendererError
from vgpud.link.messages import RendererOptions
from vgpud.modes import CAPSETS, available_capsets
from vgpud.native import ffi, lib
from vgpud.wire.virtio_gpu import VIRTIO_GPU_CAPSET_VIRGL2


def flags_of(options: RendererOptions, names: tuple[str, ...], display: bool) -> int:
    """The library's flags for these capability sets; ``RendererError`` for combinations that it cannot take.

    ``display``: whether there is an X server to use.
    """
    vulkan = (lib.VIRGL_VENUS | lib.VIRGL_RENDER_SERVER) if VENUS in names else 0
    if names == (VENUS,):
        return int(vulkan | lib.VIRGL_NO_VIRGL)
    return int(vulkan | _opengl_flags(options, display))


def _opengl_flags(options: RendererOptions, display: bool) -> int:
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


VENUS, DRM = "venus", "drm"

NO_NATIVE_CONTEXTS = (
    "the capability set drm is not available: DRM native contexts let a guest's own driver for the "
    "host's GPU speak to that GPU,"
    " and need a library that was built for its vendor; use venus for Vulkan"
)


def wanted_capsets(names: tuple[str, ...]) -> tuple[str, ...]:
    """The capability sets to offer, in their order; ``RendererError`` for one that does not
    exist.
    """
    available = available_capsets("virglrenderer")
    if DRM in names:
        raise RendererError(NO_NATIVE_CONTEXTS)
    for name in names:
        if name not in available:
            raise RendererError(
                f"the capability set {name} is not available in this version; {', '.join(available)} are"
            )
    return names or available


VENUS_BYTES = 160
"""The length of venus since virglrenderer 1.1; earlier releases have a shorter one."""


_CAPS_V2_RENDERER = slice(696, 760)
"""The field ``renderer`` of struct virgl_caps_v2, which is part of a protocol: fields are only
added.
"""


_CAPS_V2_BITS = slice(392, 396)
"""Its field ``capability_bits``, and of those VIRGL_CAP_ARB_BUFFER_STORAGE."""
_BUFFER_STORAGE = 1 << 31


def gl_renderer(offered: Offered) -> str:
    """GL_RENDERER of the host's GL, which virgl2 has for the guest; empty without it."""
    if offered.capset.capset_id != VIRTIO_GPU_CAPSET_VIRGL2:
        return ""
    return offered.data[_CAPS_V2_RENDERER].partition(b"\0")[0].decode(errors="replace")


def without_mapped_buffers(offered: Offered) -> Offered:
    """For a guest with host-visible memory into which OpenGL's buffers cannot be mapped: its driver
    takes this bit to mean that they can.
    """
    if offered.capset.capset_id != VIRTIO_GPU_CAPSET_VIRGL2:
        return offered
    data = bytearray(offered.data)
    bits = int.from_bytes(data[_CAPS_V2_BITS], "little") & ~_BUFFER_STORAGE
    data[_CAPS_V2_BITS] = bits.to_bytes(4, "little")
    return Offered(offered.capset, bytes(data))


class VirglLibrary:
    """The library, started; ``RendererError`` says why not, in one line, and what to try.

    A render server that has started is tried with a context; one that comes later by ``try_vulkan``.  ``without_vulkan`` says why there is
    no Vulkan, where it was not asked for; it is empty when there is, or when other sets were.
    """

    description: str
    pointer: Any

    def __init__(self, options: RendererOptions, server: Server = NO_SERVER) -> None:
        names = wanted_capsets(options.capsets)
        self.without_vulkan = ""
        if VENUS in names and (missing := render_server.why_not() or _no_server(server.socket)):
            names = self._do_without(options, names, missing)
        if VENUS not in names and server.socket >= 0:
            os.close(server.socket)
        _check_device(options.gpu_device)
        clean_environment(os.environ)
        try:
            self.pointer = self._open(options, names, server.socket if VENUS in names else -1)
        except RendererError as error:
            if VENUS not in names:
                raise
            names = self._do_without(options, names, str(error))
            self.pointer = self._open(options, names, -1)
        if VENUS in names and (wrong := self._why_no_vulkan(server.started)):
            names = self._do_without(options, names, wrong)
        self.offered = tuple(self._offer(CAPSETS[name].capset_id) for name in names)
        self.description += "".join(f"; {gl}" for one in self.offered if (gl := gl_renderer(one)))

    @property
    def has_vulkan(self) -> bool:
        return any(one.capset.capset_id == CAPSETS[VENUS].capset_id for one in self.offered)

    @property
    def vulkan(self) -> str:
        """Whether there is Vulkan, for a description."""
        if self.has_vulkan:
            return "; Vulkan by Venus"
        return f"; without Vulkan: {self.without_vulkan}" if self.without_vulkan else ""

    def _open(self, options: RendererOptions, names: tuple[str, ...], server: int) -> Any:
        """Describes it, too."""
        flags = flags_of(options, names, "DISPLAY" in os.environ)
        text = ffi.new("char[]", lib.VIRGL_TEXT)
        pointer = lib.virgl_open(flags, options.gpu_device.encode(), server, text)
        self.description = ffi.string(text).decode(errors="replace")
        if pointer == ffi.NULL:
            raise RendererError(
                f"virglrenderer cannot start: {self.description}; {_advice(options, self.description)}"
            )
        return ffi.gc(pointer, lib.gpu_library_close)

    def _do_without(
        self, options: RendererOptions, names: tuple[str, ...], reason: str
    ) -> tuple[str, ...]:
        """The sets without venus, unless Vulkan was asked for."""
        if VENUS in options.capsets:
            raise RendererError(f"Vulkan (the capability set venus) cannot start: {reason}")
        self.without_vulkan = reason
        return tuple(name for name in names if name != VENUS)

    def _why_no_vulkan(self, started: bool) -> str:
        """Why there is no Vulkan, empty if there may be, as far as can be seen without a server."""
        found = offer(self.pointer, CAPSETS[VENUS].capset_id)
        if found is None or len(found.data) < VENUS_BYTES:
            return f"{self.description} is older than virglrenderer 1.1"
        if not any(found.data):
            return "the library offers nothing for it"
        return self.try_vulkan() if started else ""

    def try_vulkan(self) -> str:
        """Why there can be no contexts, empty if there can, which the set does not prove; waits for
        the process at the other end of the socket.
        """
        if lib.gpu_library_try_context(self.pointer, CAPSETS[VENUS].capset_id) != 0:
            return f"{render_server.PROGRAM} cannot make a context"
        return ""

    def give_up_vulkan(self, reason: str) -> None:
        """Vulkan is no longer offered."""
        self.without_vulkan = reason
        vulkan = CAPSETS[VENUS].capset_id
        self.offered = tuple(one for one in self.offered if one.capset.capset_id != vulkan)

    def _offer(self, capset_id: int) -> Offered:
        found = offer(self.pointer, capset_id)
        if found is None:
            raise RendererError(f"{self.description} has no capability set {capset_id}")
        return found


def _no_server(server: int) -> str:
    return "" if server >= 0 else f"{render_server.PROGRAM} was not started"


RENDER_NODES = Path("/dev/dri")
NO_NODES = f"this host has no render node in {RENDER_NODES}; --gpu-mode 2d needs none"
DRM_MAJOR = 226
"""Of graphics devices (linux/major.h)."""


def _check_device(path: str) -> None:
    """Checks the device, since the library itself would only say -1 for one that cannot be opened,
    and would ignore one that is not a GPU.
    """
    if not path:
        return
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise RendererError(f"there is no GPU {path}; {_nodes()}") from None
    except PermissionError:
        group = _group(Path(path).stat().st_gid)
        raise RendererError(
            f"user {os.geteuid()} may not use the GPU {path}: the user is not in its group, {group}"
        ) from None
    except OSError as error:
        raise RendererError(
            f"the GPU {path} cannot be used: {error.strerror}; {_nodes()}"
        ) from None
    kind = os.fstat(fd)
    os.close(fd)
    if not stat.S_ISCHR(kind.st_mode) or os.major(kind.st_rdev) != DRM_MAJOR:
        raise RendererError(f"the GPU {path} cannot be used: it is not a DRM device; {_nodes()}")


def _nodes() -> str:
    """Which render nodes exist instead."""
    nodes = ", ".join(map(str, sorted(RENDER_NODES.glob("renderD*"))))
    return f"this host has {nodes}" if nodes else NO_NODES


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _advice(options: RendererOptions, reason: str) -> str:
    if "cannot open shared object" in reason:
        return "install libvirglrenderer1, or use --gpu-mode 2d"
    if " has no " in reason or "malloc()" in reason:
        return "install another release of libvirglrenderer1, or use --gpu-mode 2d"
    if options.gpu_device:
        return "try without --gpu-device, or --gpu-mode 2d"
    if options.gles:
        return "try --use-gles=false, or --gpu-mode 2d"
    return "install Mesa's EGL (libegl1, libgl1-mesa-dri), or use --gpu-mode 2d"
