# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A renderer of the tests': textures by the library's own 2D, which no capability set leads to and every build of it has."""

from vgpud import modes
from vgpud.device.dataplane import DataPlane
from vgpud.device.renderers.interface import Group
from vgpud.device.renderers.software_2d import Software2D
from vgpud.errors import RendererError
from vgpud.link.messages import RendererOptions
from vgpud.native import ffi, lib

PROGRAM = (
    "import sys; from tests.device import rutabaga_2d; from vgpud.device.process import main;"
    " rutabaga_2d.take_the_place(); sys.exit(main(*map(int, sys.argv[1:])))"
)


class Rutabaga2D(Software2D):
    description = "rutabaga's 2D"
    groups = frozenset(Group)
    uses_drivers = True

    def __init__(self, plane: DataPlane, options: RendererOptions, server: int = -1) -> None:
        super().__init__(plane, options)
        text = ffi.new("char[]", lib.RUTABAGA_TEXT)
        library = lib.rutabaga_open(0, b"", b"", text)
        if library == ffi.NULL:
            raise RendererError(ffi.string(text).decode())
        plane.set_library(library)
        self.host_blobs = plane.has_host_blobs()


def take_the_place() -> None:
    """Of the mode gfxstream, in this process and those that are forked from it; nobody asks first whether it starts."""
    modes.MODES["gfxstream"] = modes.Mode("tests.device.rutabaga_2d:Rutabaga2D", built_in=True)
