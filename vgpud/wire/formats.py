# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The pixel formats of VIRTIO 1.2 (5.7.6.8, enum virtio_gpu_formats): four bytes for each pixel in
all of them.
"""

from typing import NamedTuple

BYTES_PER_PIXEL = 4

VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM = 1
VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM = 2
VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM = 3
VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM = 4
VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM = 67
VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM = 68
VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM = 121
VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM = 134


class Format(NamedTuple):
    """``channels`` are in the order of their bytes in memory; X is a byte without meaning."""

    name: str
    channels: str

    @property
    def has_alpha(self) -> bool:
        return "A" in self.channels


FORMATS = {
    VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM: Format("B8G8R8A8_UNORM", "BGRA"),
    VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM: Format("B8G8R8X8_UNORM", "BGRX"),
    VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM: Format("A8R8G8B8_UNORM", "ARGB"),
    VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM: Format("X8R8G8B8_UNORM", "XRGB"),
    VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM: Format("R8G8B8A8_UNORM", "RGBA"),
    VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM: Format("X8B8G8R8_UNORM", "XBGR"),
    VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM: Format("A8B8G8R8_UNORM", "ABGR"),
    VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM: Format("R8G8B8X8_UNORM", "RGBX"),
}
