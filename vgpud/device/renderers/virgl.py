# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``virglrenderer``: OpenGL and Vulkan by libvirglrenderer; 2D stays in memory until a context may touch it."""

from vgpud.device.dataplane import DataPlane
from vgpud.device.renderers.interface import Capset, Group
from vgpud.device.renderers.software_2d import Software2D
from vgpud.device.renderers.virgl_export import why_not_exported
from vgpud.device.renderers.virgl_library import VirglLibrary
from vgpud.link.messages import RendererOptions
from vgpud.modes import CAPSETS
from vgpud.wire.virtio_gpu import VIRTIO_GPU_F_CONTEXT_INIT, VIRTIO_GPU_F_VIRGL


class Virgl(Software2D):
    """Here is what is asked of the library before the guest comes."""

    description = "virglrenderer"
    device_features = (
        Software2D.device_features | 1 << VIRTIO_GPU_F_VIRGL | 1 << VIRTIO_GPU_F_CONTEXT_INIT
    )
    groups = frozenset(Group)
    uses_drivers = True

    def __init__(self, plane: DataPlane, options: RendererOptions, server: int = -1) -> None:
        super().__init__(plane, options)
        self.library = VirglLibrary(options, server)
        # The release shows only when the library has been opened.
        self.description = f"virglrenderer ({self.library.description}{self.library.vulkan})"
        plane.set_library(self.library.pointer)
        self.host_blobs = plane.has_host_blobs() and self._makes_files()
        self._no_buffers = self.host_blobs and bool(why_not_exported(options, self.library))
        if reason := self._export_buffers(plane, options):
            self.warnings = (f"frames are sent as pixels, not as DMA buffers: {reason}",)

    def _export_buffers(self, plane: DataPlane, options: RendererOptions) -> str:
        """Shows textures without a copy, where there is a GPU; why not, when that was asked for."""
        forced = options.transport == "dmabuf"
        reason = "" if options.transport == "pixels" else why_not_exported(options, self.library)
        if options.transport != "pixels" and not reason:
            try:
                plane.export_buffers(told=forced)
            except OSError as error:
                reason = f"{self.library.description}: {error.strerror}"
        return reason if forced else ""

    def _makes_files(self) -> bool:
        """Whether blobs have files that a VMM can map: what OpenGL makes in software has none."""
        return any(capset.capset_id == CAPSETS["venus"].capset_id for capset in self.capsets)

    # --- capsets

    @property
    def capsets(self) -> tuple[Capset, ...]:
        return tuple(offered.capset for offered in self.library.offered)

    def capset(self, capset_id: int) -> bytes:
        offered = next(one for one in self.library.offered if one.capset.capset_id == capset_id)
        return offered.without_mapped_buffers if self._no_buffers else offered.data
