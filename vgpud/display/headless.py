# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the guest is told of its displays when there is no display socket to ask."""

from collections.abc import Collection, Sequence

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
"""Instead of a response: nobody knows."""


Size = tuple[int, int]
"""Width and height in pixels."""


class HeadlessDisplay:
    """Answers for the configured outputs, some of which have no display plugged in; ``sizes`` are
    the sizes of all, also of those.
    """

    def __init__(self, sizes: Sequence[Size], unplugged: Collection[int] = ()) -> None:
        self._sizes = list(sizes[:VIRTIO_GPU_MAX_SCANOUTS])
        self._unplugged = set(unplugged)

    @property
    def num_scanouts(self) -> int:
        return len(self._sizes)

    @property
    def outputs(self) -> list[Size | None]:
        """The size of each output's display; None where there is none."""
        return [
            None if number in self._unplugged else size for number, size in enumerate(self._sizes)
        ]

    def set_output(self, scanout_id: int, size: Size | None) -> None:
        """Changes what the guest is told from now on; the caller has the guest ask again.
        ``IndexError`` for an output that does not exist.
        """
        if scanout_id not in range(len(self._sizes)):
            raise IndexError(scanout_id)
        if size is None:
            self._unplugged.add(scanout_id)
            return
        self._unplugged.discard(scanout_id)
        self._sizes[scanout_id] = size

    async def display_info(self) -> bytes:
        """A whole virtio_gpu_resp_display_info."""
        return display_info_response(self.outputs)

    async def edid(self, scanout_id: int) -> bytes:
        """A whole virtio_gpu_resp_edid, or ``NO_ANSWER`` for an output that does not exist.

        Linux asks for all outputs and reports an error for each that has none, plugged in or not.
        """
        if scanout_id >= len(self._sizes):
            return NO_ANSWER
        return edid_response(make_edid(*self._sizes[scanout_id], serial=scanout_id + 1))


def display_info_response(outputs: Sequence[Size | None]) -> bytes:
    """A whole virtio_gpu_resp_display_info for displays side by side, from left to right."""
    pmodes = []
    x = 0
    for size in outputs:
        width, height = size or (0, 0)
        rectangle = virtio_gpu_rect(x if size else 0, 0, width, height)
        pmodes.append(virtio_gpu_display_one(rectangle, enabled=int(size is not None)))
        x += width
    unused = virtio_gpu_display_one(virtio_gpu_rect(0, 0, 0, 0), enabled=0)
    pmodes += [unused] * (VIRTIO_GPU_MAX_SCANOUTS - len(pmodes))
    header = virtio_gpu_ctrl_hdr(VIRTIO_GPU_RESP_OK_DISPLAY_INFO)
    return pack(header) + pack(virtio_gpu_resp_display_info(tuple(pmodes)))
