# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device's configuration space (VIRTIO 1.2, section 5.7.4)."""

from struct import Struct

from vgpud.vhost_user.messages import ConfigAccess

# events_read, events_clear, num_scanouts, num_capsets, and blob_alignment, which QEMU 11.1 has.
_FIELDS = Struct("<5I")


def read(access: ConfigAccess, num_scanouts: int, num_capsets: int) -> ConfigAccess:
    """As many bytes as were asked for: a shorter answer leaves QEMU's guest without a display.

    A VMM with displays has its own events and its own number of scanouts.
    """
    space = _FIELDS.pack(0, 0, num_scanouts, num_capsets, 0)
    wanted = space[access.offset : access.offset + access.size]
    return access._replace(data=wanted.ljust(access.size, b"\0"))
