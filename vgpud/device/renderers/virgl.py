# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``virglrenderer``: OpenGL and Vulkan with libvirglrenderer; a 2D resource stays an image until a
context may touch it.
"""

from vgpud.device.dataplane import DataPlane
from vgpud.device.renderers.interface import NO_SERVER, Server
from vgpud.device.renderers.library_3d import Library3D
from vgpud.device.renderers.virgl_export import why_not_exported
from vgpud.device.renderers.virgl_library import VirglLibrary, without_mapped_buffers
from vgpud.link.messages import RendererOptions


class Virgl(Library3D):
    """What is asked of the library before the guest starts."""

    description = "virglrenderer"

    def __init__(
        self, plane: DataPlane, options: RendererOptions, server: Server = NO_SERVER
    ) -> None:
        super().__init__(plane, options)
        self.library = VirglLibrary(options, server)
        # The release is known only when the library has been opened.
        self.description = self._describe()
        plane.set_library(self.library.pointer)
        # What OpenGL makes in software has no files that a VMM could map.
        self.host_blobs = plane.has_host_blobs() and self.library.has_vulkan
        self.offered = self.library.offered
        if self.host_blobs and why_not_exported(options, self.library):
            self.offered = tuple(map(without_mapped_buffers, self.offered))
        if reason := self._export_buffers(plane, options):
            self.warnings = (f"frames are sent as pixels, not as DMA buffers: {reason}",)

    def _describe(self) -> str:
        return f"virglrenderer ({self.library.description}{self.library.vulkan})"

    def try_vulkan(self) -> str:
        reason = self.library.try_vulkan()
        if reason:
            self.library.give_up_vulkan(reason)
            offered = {one.capset.capset_id for one in self.library.offered}
            self.offered = tuple(one for one in self.offered if one.capset.capset_id in offered)
            self.description = self._describe()
        return reason

    def _export_buffers(self, plane: DataPlane, options: RendererOptions) -> str:
        """Shows textures without a copy, where there is a GPU; returns why not, if it was asked
        for.
        """
        forced = options.transport == "dmabuf"
        reason = "" if options.transport == "pixels" else why_not_exported(options, self.library)
        if options.transport != "pixels" and not reason:
            try:
                plane.export_buffers(told=forced)
            except OSError as error:
                reason = f"{self.library.description}: {error.strerror}"
        return reason if forced else ""
