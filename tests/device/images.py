# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The pixels of an image, read from its memfd as the daemon may (native/shared/image.h)."""

import os

HEADER_BYTES = 4096
SLOTS = 4


def newest_pixels(image_fd: int, width: int, height: int) -> bytes:
    """The pixels that were drawn last, B, G, R, A, rows without gaps."""
    slot = int.from_bytes(os.pread(image_fd, 4, 0), "little")
    assert slot < SLOTS
    slot_bytes = -(-width * height * 4 // 4096) * 4096
    return os.pread(image_fd, width * height * 4, HEADER_BYTES + slot * slot_bytes)
