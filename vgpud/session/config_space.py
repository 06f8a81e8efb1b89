# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device's configuration space (VIRTIO 1.2, section 5.7.4)."""

from struct import Struct

from vgpud.vhost_user.messages import ConfigAccess

# events_read, events_clear, num_scanouts, num_capsets, and blob_alignment, which QEMU 11.1 has.
_FIELDS = Struct("<5I")
_EVENTS_CLEAR = range(4, 8)


class ConfigSpace:
    """A VMM with displays has its own events and its own number of scanouts, and the guest sees
    those.

    ``events_read`` holds the VIRTIO_GPU_EVENT_* that the guest has not cleared.
    """

    def __init__(self, num_scanouts: int) -> None:
        self.events_read = 0
        self._num_scanouts = num_scanouts

    def read(self, access: ConfigAccess, num_capsets: int, blob_alignment: int) -> ConfigAccess:
        """As many bytes as were asked for: with a shorter answer QEMU's guest has no display."""
        space = _FIELDS.pack(self.events_read, 0, self._num_scanouts, num_capsets, blob_alignment)
        wanted = space[access.offset : access.offset + access.size]
        return access._replace(data=wanted.ljust(access.size, b"\0"))

    def write(self, access: ConfigAccess) -> None:
        """The guest clears events; it may write nothing else.  QEMU sends all fields."""
        cleared = bytes(
            access.data[at - access.offset] if 0 <= at - access.offset < len(access.data) else 0
            for at in _EVENTS_CLEAR
        )
        self.events_read &= ~int.from_bytes(cleared, "little")
