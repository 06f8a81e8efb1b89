# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the guest is told of its displays while there is no display socket to ask."""

from collections.abc import Sequence

from vgpud.display.edid import edid_response, make_edid
from vgpud.wire.layout import pack
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_MAX_SCANOUTS,
    VIRTIO_GPU_RESP_OK_DISPLAY_INFO,
    virtio_gpu_ctrl_hdr,
    virtio_gpu_display_one,
    virtio_gpu_rect,
    virtio_gpu_resp_display_info,
)

NO_ANSWER = b""
"""In place of a response: nobody can say."""


class HeadlessDisplay:
    """Answers from the configuration; ``sizes`` are width and height in pixels of each display."""

    def __init__(self, sizes: Sequence[tuple[int, int]]) -> None:
        self._sizes = tuple(sizes[:VIRTIO_GPU_MAX_SCANOUTS])

    @property
    def num_scanouts(self) -> int:
        return len(self._sizes)

    async def display_info(self) -> bytes:
        """A whole virtio_gpu_resp_display_info."""
        return display_info_response(self._sizes)

    async def edid(self, scanout_id: int) -> bytes:
        """A whole virtio_gpu_resp_edid, or ``NO_ANSWER`` for a display that is not configured."""
        if scanout_id >= len(self._sizes):
            return NO_ANSWER
        return edid_response(make_edid(*self._sizes[scanout_id], serial=scanout_id + 1))


def display_info_response(sizes: Sequence[tuple[int, int]]) -> bytes:
    """A whole virtio_gpu_resp_display_info for displays side by side, from left to right."""
    pmodes = []
    x = 0
    for width, height in sizes:
        pmodes.append(virtio_gpu_display_one(virtio_gpu_rect(x, 0, width, height), enabled=1))
        x += width
    unused = virtio_gpu_display_one(virtio_gpu_rect(0, 0, 0, 0), enabled=0)
    pmodes += [unused] * (VIRTIO_GPU_MAX_SCANOUTS - len(pmodes))
    header = virtio_gpu_ctrl_hdr(VIRTIO_GPU_RESP_OK_DISPLAY_INFO)
    return pack(header) + pack(virtio_gpu_resp_display_info(tuple(pmodes)))
