# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``2d``: images in memory, drawn by copying."""

from vgpud.device.renderers.interface import Group, Renderer
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_F_EDID,
    VIRTIO_GPU_F_RESOURCE_BLOB,
    VIRTIO_GPU_F_RESOURCE_UUID,
)


class Software2D(Renderer):
    """The data plane does all of it."""

    description = "2D in software"
    device_features = (
        1 << VIRTIO_GPU_F_EDID | 1 << VIRTIO_GPU_F_RESOURCE_UUID | 1 << VIRTIO_GPU_F_RESOURCE_BLOB
    )
    groups = frozenset({Group.IMAGES, Group.BLOBS})
