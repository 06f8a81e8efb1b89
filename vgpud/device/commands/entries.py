# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The array of virtio_gpu_mem_entry that some commands carry."""

from vgpud.device.commands import Request
from vgpud.device.device import Device
from vgpud.errors import GuestError
from vgpud.link.codec import MAXIMUM_BLOB
from vgpud.wire.layout import size_of
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
    VIRTIO_GPU_RESP_ERR_UNSPEC,
    virtio_gpu_mem_entry,
)

ENTRY_SIZE = size_of(virtio_gpu_mem_entry)


def entries_of(device: Device, request: Request, nr_entries: int) -> bytes:
    """The entries, exactly ``nr_entries`` of them; ``GuestError`` for too many, or too few bytes."""
    if nr_entries > min(device.limits.backing_entries, MAXIMUM_BLOB // ENTRY_SIZE):
        raise GuestError(VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY, f"{nr_entries} backing entries")
    size = nr_entries * ENTRY_SIZE
    if len(request.rest) < size:
        raise GuestError(
            VIRTIO_GPU_RESP_ERR_UNSPEC,
            f"{nr_entries} backing entries announced in {len(request.rest)} bytes",
        )
    return request.rest[:size]
