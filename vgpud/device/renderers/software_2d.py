# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``2d``: images in memory, drawn by copying."""

from vgpud.device import dataplane
from vgpud.device.renderers.interface import Group, Renderer
from vgpud.device.resources import Resource
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_F_EDID,
    VIRTIO_GPU_F_RESOURCE_UUID,
    virtio_gpu_resource_create_2d,
    virtio_gpu_set_scanout,
)


class Software2D(Renderer):
    """All of it is the data plane's."""

    native_renderer = dataplane.RENDERER_2D
    description = "2D in software"
    device_features = 1 << VIRTIO_GPU_F_EDID | 1 << VIRTIO_GPU_F_RESOURCE_UUID
    groups = frozenset({Group.IMAGES})

    def create_2d(self, command: virtio_gpu_resource_create_2d) -> None:
        self.plane.resource_create_2d(*command)

    def unref(self, resource: Resource) -> None:
        self.plane.resource_unref(resource.resource_id)

    def attach_backing(self, resource: Resource, entries: bytes, nr_entries: int) -> None:
        self.plane.resource_attach_backing(resource.resource_id, entries, nr_entries)

    def detach_backing(self, resource: Resource) -> None:
        self.plane.resource_detach_backing(resource.resource_id)

    def set_scanout(self, command: virtio_gpu_set_scanout, resource: Resource | None) -> None:
        resource_id = resource.resource_id if resource else 0
        self.plane.scanout_set(command.scanout_id, resource_id, *command.r)

    def reset(self) -> None:
        self.plane.reset()
