# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the commands need of a renderer: from options to library, capability sets and warnings. The
data plane has the resources, the contexts and what is done with them; the renderer's library fills
its table of operations (``struct gpu_operations``).
"""

from enum import Enum
from typing import ClassVar, NamedTuple

from vgpud.device.dataplane import DataPlane
from vgpud.link.messages import RendererOptions


class Group(Enum):
    """Commands that a renderer has or has not, all of a group together."""

    IMAGES = "2D"
    CONTEXTS = "3D"
    BLOBS = "blob"


class Server(NamedTuple):
    """A render server's ``socket``, which becomes the renderer's; -1: there will be none.  ``started``: somebody is at its other
    end already, and not only when something turns out to need him.
    """

    socket: int
    started: bool


NO_SERVER = Server(-1, False)


class Capset(NamedTuple):
    """A set of capabilities that the guest's driver may ask for; ``max_size`` in bytes."""

    capset_id: int
    max_version: int
    max_size: int


class Renderer:
    """How a device draws: what the guest may use, and what the data plane uses for it.

    A renderer needs nothing of groups that it does not name.  It refuses with a ``GuestError``.
    """

    draws: ClassVar[bool] = True
    """Whether images have pixels, and are presented."""
    description: str
    device_features: ClassVar[int]
    groups: ClassVar[frozenset[Group]]
    uses_drivers: ClassVar[bool] = False
    """Whether it opens libraries and devices, and starts threads: then its walls are wider."""
    host_blobs: bool = False
    """Whether the guest may have the library's memory mapped."""
    executes_vulkan: bool = False
    """Whether what a guest's programs allocate becomes memory of this process, which then has a limit."""
    warnings: tuple[str, ...] = ()
    """What was asked for but is not possible; the renderer works without it."""

    def __init__(
        self, plane: DataPlane, options: RendererOptions, server: Server = NO_SERVER
    ) -> None:
        """``RendererError`` when it cannot start on this host with these options.  ``server`` is
        what
        it may have of a render server.
        """

    def try_vulkan(self) -> str:
        """There is a render server now, for what was offered in the hope of one: why there are no contexts of it all the
        same, and it is offered no more; empty when there are.
        """
        return ""

    # --- capsets

    @property
    def capsets(self) -> tuple[Capset, ...]:
        """What GET_CAPSET_INFO lists, in its order."""
        return ()

    def capset(self, capset_id: int) -> bytes:
        """The data of a set that is listed."""
        raise NotImplementedError
