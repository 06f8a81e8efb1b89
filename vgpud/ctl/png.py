# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A picture as a PNG: eight bits each of red, green and blue, no transparency, every line unfiltered.

The format is the W3C's: sections 5.2 to 5.6 of "Portable Network Graphics" for chunks, 11.2 for those that are written here.
"""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">IIBBBBB")
BITS, TRUECOLOUR, DEFLATE, ADAPTIVE, NOT_INTERLACED = 8, 2, 0, 0, 0
UNFILTERED = b"\0"


def encode(width: int, height: int, rgb: bytes) -> bytes:
    """The file's bytes; ``rgb`` has three for each pixel, and the lines from the top."""
    line = 3 * width
    lines = b"".join(UNFILTERED + rgb[at : at + line] for at in range(0, line * height, line))
    header = HEADER.pack(width, height, BITS, TRUECOLOUR, DEFLATE, ADAPTIVE, NOT_INTERLACED)
    return b"".join(
        (SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(lines)), _chunk(b"IEND"))
    )


def _chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
