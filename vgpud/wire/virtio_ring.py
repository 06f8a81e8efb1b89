# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""VIRTIO 1.2, sections 2.7 and 2.8: split and packed virtqueues, named as in <linux/virtio_ring.h>."""

from typing import NamedTuple

from vgpud.wire.layout import le16, le32, le64

# --- features of the transport and the rings (section 6)

VIRTIO_RING_F_INDIRECT_DESC = 28
VIRTIO_RING_F_EVENT_IDX = 29
VIRTIO_F_VERSION_1 = 32
VIRTIO_F_ACCESS_PLATFORM = 33
VIRTIO_F_RING_PACKED = 34
VIRTIO_F_RING_RESET = 40

# --- flags

VRING_DESC_F_NEXT = 1
VRING_DESC_F_WRITE = 2
VRING_DESC_F_INDIRECT = 4
# In a packed ring; shifts, not values.
VRING_PACKED_DESC_F_AVAIL = 7
VRING_PACKED_DESC_F_USED = 15

VRING_USED_F_NO_NOTIFY = 1
VRING_AVAIL_F_NO_INTERRUPT = 1

VRING_PACKED_EVENT_FLAG_ENABLE = 0x0
VRING_PACKED_EVENT_FLAG_DISABLE = 0x1
VRING_PACKED_EVENT_FLAG_DESC = 0x2
VRING_PACKED_EVENT_F_WRAP_CTR = 15

# --- split


class vring_desc(NamedTuple):
    addr: le64
    len: le32
    flags: le16
    next: le16


class vring_avail(NamedTuple):
    """``ring``, one le16 for each entry of the queue, follows, and then used_event."""

    flags: le16
    idx: le16


class vring_used_elem(NamedTuple):
    id: le32
    len: le32


class vring_used(NamedTuple):
    """``ring``, one vring_used_elem for each entry of the queue, follows, and then avail_event."""

    flags: le16
    idx: le16


# --- packed


class vring_packed_desc(NamedTuple):
    addr: le64
    len: le32
    id: le16
    flags: le16


class vring_packed_desc_event(NamedTuple):
    off_wrap: le16
    flags: le16
