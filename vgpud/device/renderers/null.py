# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``null``: accepts every command and draws nothing."""

from vgpud.device.dataplane import DataPlane, null_library
from vgpud.device.renderers.interface import NO_SERVER, Group, Server
from vgpud.device.renderers.software_2d import Software2D
from vgpud.link.messages import RendererOptions


class Null(Software2D):
    """Resources have numbers and backing as in the other modes, so that a guest's mistakes get the
    same answers; images have no pixels, blobs are memory that nobody draws into.
    """

    draws = False
    description = "a renderer that draws nothing"
    groups = frozenset(Group)

    def __init__(
        self, plane: DataPlane, options: RendererOptions, server: Server = NO_SERVER
    ) -> None:
        super().__init__(plane, options)
        plane.set_library(null_library())
        self.host_blobs = plane.has_host_blobs()
