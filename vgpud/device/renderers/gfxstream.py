# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``gfxstream``: Vulkan and OpenGL ES with gfxstream, and the host's Wayland with cross-domain
contexts, through librutabaga_gfx_ffi.
"""

from vgpud.device.dataplane import DataPlane
from vgpud.device.renderers.interface import NO_SERVER, Server
from vgpud.device.renderers.library_3d import Library3D
from vgpud.device.renderers.rutabaga_library import (
    RutabagaLibrary,
    needs_gfxstream,
    wanted_capsets,
)
from vgpud.link.messages import RendererOptions


class Gfxstream(Library3D):
    """Where the library has no textures, 2D resources stay images whatever a context does."""

    description = "gfxstream"

    def __init__(
        self, plane: DataPlane, options: RendererOptions, server: Server = NO_SERVER
    ) -> None:
        super().__init__(plane, options)
        self.library = RutabagaLibrary(options)
        # The release is known only when the library has been opened.
        self.description = f"gfxstream ({self.library.description})"
        plane.set_library(self.library.pointer)
        self.host_blobs = plane.has_host_blobs()
        self.executes_vulkan = needs_gfxstream(wanted_capsets(options))
        self.offered = self.library.offered
        self.warnings = self.library.warnings
