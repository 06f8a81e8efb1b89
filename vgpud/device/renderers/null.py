# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``null``: accepts every command and draws nothing."""

from vgpud.device import dataplane
from vgpud.device.renderers.interface import Group
from vgpud.device.renderers.software_2d import Software2D
from vgpud.device.resources import Kind, Resource
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_MAP_CACHE_CACHED,
    virtio_gpu_ctx_create,
    virtio_gpu_resource_create_3d,
    virtio_gpu_resource_create_blob,
    virtio_gpu_set_scanout,
    virtio_gpu_set_scanout_blob,
)


class Null(Software2D):
    """2D resources as ``2d`` has them, so that a guest's mistakes get the same answers; of the 3D
    ones nothing is kept but their numbers.
    """

    native_renderer = dataplane.RENDERER_NULL
    description = "a renderer that draws nothing"
    groups = frozenset(Group)

    def unref(self, resource: Resource) -> None:
        if resource.kind is Kind.IMAGE_2D:
            super().unref(resource)

    def attach_backing(self, resource: Resource, entries: bytes, nr_entries: int) -> None:
        if resource.kind is Kind.IMAGE_2D:
            super().attach_backing(resource, entries, nr_entries)

    def detach_backing(self, resource: Resource) -> None:
        if resource.kind is Kind.IMAGE_2D:
            super().detach_backing(resource)

    def set_scanout(self, command: virtio_gpu_set_scanout, resource: Resource | None) -> None:
        if resource is None or resource.kind is Kind.IMAGE_2D:
            super().set_scanout(command, resource)

    def create_3d(self, command: virtio_gpu_resource_create_3d) -> None:
        pass

    def create_context(self, ctx_id: int, command: virtio_gpu_ctx_create) -> None:
        pass

    def destroy_context(self, ctx_id: int) -> None:
        pass

    def attach_resource(self, ctx_id: int, resource: Resource) -> None:
        pass

    def detach_resource(self, ctx_id: int, resource: Resource) -> None:
        pass

    def create_blob(
        self, ctx_id: int, command: virtio_gpu_resource_create_blob, entries: bytes
    ) -> None:
        pass

    def set_scanout_blob(self, command: virtio_gpu_set_scanout_blob, resource: Resource) -> None:
        pass

    def map_blob(self, resource: Resource, offset: int) -> int:
        return VIRTIO_GPU_MAP_CACHE_CACHED

    def unmap_blob(self, resource: Resource) -> None:
        pass
