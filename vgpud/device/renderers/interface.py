# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a renderer is to the commands.

The commands have checked numbers and lengths before they come here, and keep the tables of
resources and contexts; a renderer makes things and destroys them.  What it refuses is a
``GuestError``, or an ``OSError`` of the data plane.  Commands that move data never come here: the
data plane has a table of operations for each ``native_renderer``.
"""

from abc import ABC, abstractmethod
from enum import Enum
from typing import ClassVar, NamedTuple

from vgpud.device.dataplane import DataPlane
from vgpud.device.resources import Resource
from vgpud.errors import GuestError
from vgpud.link.messages import RendererOptions
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
    VIRTIO_GPU_RESP_ERR_UNSPEC,
    virtio_gpu_ctx_create,
    virtio_gpu_resource_create_2d,
    virtio_gpu_resource_create_3d,
    virtio_gpu_resource_create_blob,
    virtio_gpu_set_scanout,
    virtio_gpu_set_scanout_blob,
)


class Group(Enum):
    """Commands that a renderer has or has not, all of a group together."""

    IMAGES = "2D"
    CONTEXTS = "3D"
    BLOBS = "blob"


class Capset(NamedTuple):
    """A set of capabilities that the guest's driver may ask for; ``max_size`` in bytes."""

    capset_id: int
    max_version: int
    max_size: int


class Renderer(ABC):
    """A renderer; it need not have what belongs to groups that it does not name."""

    native_renderer: ClassVar[int]
    description: str
    device_features: ClassVar[int]
    groups: ClassVar[frozenset[Group]]
    uses_drivers: ClassVar[bool] = False
    """Whether it opens libraries and devices, and starts threads: its walls are wider then."""
    warnings: tuple[str, ...] = ()
    """What was asked for and cannot be had, which is done without."""

    def __init__(self, plane: DataPlane, options: RendererOptions) -> None:
        """``RendererError`` when it cannot be had on this machine with these options."""
        self.plane = plane
        self.options = options

    @abstractmethod
    def create_2d(self, command: virtio_gpu_resource_create_2d) -> None:
        """Makes an image of the given size, all of it zero."""

    @abstractmethod
    def unref(self, resource: Resource) -> None:
        """Destroys a resource; a scanout that shows it is disabled."""

    @abstractmethod
    def attach_backing(self, resource: Resource, entries: bytes, nr_entries: int) -> None:
        """Ties guest memory, an array of virtio_gpu_mem_entry, to a resource that has none."""

    @abstractmethod
    def detach_backing(self, resource: Resource) -> None:
        """Unties a resource's guest memory."""

    @abstractmethod
    def set_scanout(self, command: virtio_gpu_set_scanout, resource: Resource | None) -> None:
        """Shows a rectangle of a resource, or disables the scanout."""

    @abstractmethod
    def reset(self) -> None:
        """Destroys every resource and context."""

    # --- capsets

    @property
    def capsets(self) -> tuple[Capset, ...]:
        """What GET_CAPSET_INFO lists, in its order."""
        return ()

    def capset(self, capset_id: int, version: int) -> bytes:
        """The data of a capset."""
        raise GuestError(VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, f"there is no capset {capset_id}")

    # --- Group.CONTEXTS

    def create_3d(self, command: virtio_gpu_resource_create_3d) -> None:
        """Makes a resource that only contexts can draw into."""
        raise self._unsupported()

    def create_context(self, ctx_id: int, command: virtio_gpu_ctx_create) -> None:
        """Makes a context."""
        raise self._unsupported()

    def destroy_context(self, ctx_id: int) -> None:
        """Destroys a context; resources outlive it."""
        raise self._unsupported()

    def attach_resource(self, ctx_id: int, resource: Resource) -> None:
        """Makes a resource usable in a context."""
        raise self._unsupported()

    def detach_resource(self, ctx_id: int, resource: Resource) -> None:
        """Makes a resource unusable in a context."""
        raise self._unsupported()

    # --- Group.BLOBS

    def create_blob(
        self, ctx_id: int, command: virtio_gpu_resource_create_blob, entries: bytes
    ) -> None:
        """Makes a resource of plain memory; ``entries`` is an array of virtio_gpu_mem_entry."""
        raise self._unsupported()

    def set_scanout_blob(self, command: virtio_gpu_set_scanout_blob, resource: Resource) -> None:
        """Shows a rectangle of a blob."""
        raise self._unsupported()

    def map_blob(self, resource: Resource, offset: int) -> int:
        """Maps a blob into the shared memory region; returns VIRTIO_GPU_MAP_CACHE_*."""
        raise self._unsupported()

    def unmap_blob(self, resource: Resource) -> None:
        """Takes a blob out of the shared memory region."""
        raise self._unsupported()

    def _unsupported(self) -> GuestError:
        return GuestError(VIRTIO_GPU_RESP_ERR_UNSPEC, f"{self.description} has no such command")
