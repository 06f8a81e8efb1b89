# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``gfxstream``: Vulkan and OpenGL ES by gfxstream, and the host's Wayland by cross-domain contexts, through librutabaga_gfx_ffi."""

from vgpud.device.dataplane import DataPlane
from vgpud.device.renderers.interface import Capset, Group
from vgpud.device.renderers.rutabaga_library import RutabagaLibrary
from vgpud.device.renderers.software_2d import Software2D
from vgpud.link.messages import RendererOptions
from vgpud.wire.virtio_gpu import VIRTIO_GPU_F_CONTEXT_INIT, VIRTIO_GPU_F_VIRGL


class Gfxstream(Software2D):
    """2D stays in memory until a context may touch it, and all of it where the library has no textures."""

    description = "gfxstream"
    device_features = (
        Software2D.device_features | 1 << VIRTIO_GPU_F_VIRGL | 1 << VIRTIO_GPU_F_CONTEXT_INIT
    )
    groups = frozenset(Group)
    uses_drivers = True

    def __init__(self, plane: DataPlane, options: RendererOptions, server: int = -1) -> None:
        super().__init__(plane, options)
        self.library = RutabagaLibrary(options)
        # The release shows only when the library has been opened.
        self.description = f"gfxstream ({self.library.description})"
        plane.set_library(self.library.pointer)
        self.host_blobs = plane.has_host_blobs()
        self.warnings = self.library.warnings

    # --- capsets

    @property
    def capsets(self) -> tuple[Capset, ...]:
        return self.library.capsets

    def capset(self, capset_id: int) -> bytes:
        return next(data for capset, data in self.library.offered if capset.capset_id == capset_id)
