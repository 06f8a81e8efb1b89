# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""An EDID of our own (VESA Enhanced EDID 1.4), for a display without one.

One mode, 60 Hz with reduced blanking, is preferred.  If the 12 bits of a detailed timing or its
clock cannot express it, it goes into a DisplayID block after the first (VESA DisplayID 1.3, type I
timing).
"""

from struct import Struct
from typing import Final, NamedTuple

from vgpud.wire.layout import pack
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_RESP_OK_EDID,
    virtio_gpu_ctrl_hdr,
    virtio_gpu_resp_edid,
)

BLOCK_BYTES: Final = 128
MAXIMUM_SIDE: Final = 16384  # in pixels
REFRESH_HZ: Final = 60
DOTS_PER_MILLIMETRE: Final = 3.9  # about 100 dpi

MANUFACTURER: Final = "VGP"
PRODUCT: Final = 1
NAME: Final = b"vgpud"
YEAR: Final = 2026

_DESCRIPTOR_BYTES: Final = 18
_NAME: Final = 0xFC
_RANGE_LIMITS: Final = 0xFD
_DUMMY: Final = 0x10
_LIMIT: Final = 4095  # of a detailed timing's 12 bits
_CLOCK_LIMIT: Final = 65535  # of its 16 bits, in units of 10 kHz
_LEAST_DOTS: Final = 10_000_000  # in a second
_DISPLAY_ID: Final = 0x70

_HEADER: Final = bytes.fromhex("00ffffffffffff00")
# The colours of sRGB, from the standard's appendix.
_CHROMATICITY: Final = bytes.fromhex("ee91a3544c99260f5054")
_NO_STANDARD_TIMINGS: Final = bytes.fromhex("0101") * 8

# Data blocks of a DisplayID section.
_PRODUCT_IDENTIFICATION: Final = 0x00
_PRODUCT: Final = Struct("<3sHIBBB")
_DISPLAY_PARAMETERS: Final = 0x01
_PARAMETERS: Final = Struct("<HHHHBBBB")
_TYPE_1_TIMING: Final = 0x03
_TIMING: Final = Struct("<3sBHHHHHHHH")
_INTERFACE_FEATURES: Final = 0x0F
_INTERFACE: Final = Struct("<BBB7x")  # DisplayPort with one link, its version, 8 bits of RGB


class Timing(NamedTuple):
    """A mode with reduced blanking; in pixels and lines, the clock in units of 10 kHz."""

    width: int
    height: int
    clock: int
    horizontal_blank: int = 160
    vertical_blank: int = 35
    horizontal_front: int = 48
    horizontal_sync: int = 32
    vertical_front: int = 3
    vertical_sync: int = 6


def timing_of(width: int, height: int, refresh: int = REFRESH_HZ) -> Timing:
    timing = Timing(width, height, 0)
    line = width + timing.horizontal_blank
    # No clock is below 10 MHz: a tiny mode has more blank lines.
    lines = max(height + timing.vertical_blank, -(-_LEAST_DOTS // (line * refresh)))
    clock = round(line * lines * refresh / 10_000)
    return timing._replace(clock=clock, vertical_blank=lines - height)


def make_edid(width: int, height: int, serial: int = 0) -> bytes:
    """One block, or two for a large mode; ``serial`` distinguishes several displays.

    Both sides are at least 1 and at most ``MAXIMUM_SIDE``.
    """
    timing = timing_of(width, height)
    if max(width, height) <= _LIMIT and timing.clock <= _CLOCK_LIMIT:
        return _base_block(timing, timing, serial, extensions=0)
    # A reader that does not know DisplayID gets a mode that fits.
    fallback = timing_of(1920, 1080)
    return _base_block(fallback, timing, serial, extensions=1) + _display_id_block(timing)


def edid_response(edid: bytes) -> bytes:
    """A whole virtio_gpu_resp_edid, header included."""
    body = virtio_gpu_resp_edid(len(edid), 0, edid)
    return pack(virtio_gpu_ctrl_hdr(VIRTIO_GPU_RESP_OK_EDID)) + pack(body)


def _base_block(timing: Timing, native: Timing, serial: int, extensions: int) -> bytes:
    letters = [ord(letter) - ord("A") + 1 for letter in MANUFACTURER]
    manufacturer = letters[0] << 10 | letters[1] << 5 | letters[2]
    block = b"".join(
        (
            _HEADER,
            manufacturer.to_bytes(2, "big"),
            PRODUCT.to_bytes(2, "little"),
            serial.to_bytes(4, "little"),
            bytes((0, YEAR - 1990, 1, 4)),
            bytes((0xA5, _centimetres(native.width), _centimetres(native.height), 120, 0x06)),
            _CHROMATICITY,
            bytes(3),
            _NO_STANDARD_TIMINGS,
            _detailed_timing(timing, native),
            _range_limits(native),
            _text(_NAME, NAME),
            _descriptor(_DUMMY, bytes(13)),
            bytes((extensions,)),
        )
    )
    return _with_checksum(block)


def _millimetres(pixels: int) -> int:
    return max(1, round(pixels / DOTS_PER_MILLIMETRE))


def _centimetres(pixels: int) -> int:
    return max(1, min(255, round(_millimetres(pixels) / 10)))


def _with_checksum(block: bytes) -> bytes:
    return block + bytes((-sum(block) & 0xFF,))


def _detailed_timing(timing: Timing, native: Timing) -> bytes:
    """Section 3.10.2: each number's upper bits share a byte with another's."""
    wide, high = (min(2550, _millimetres(side)) for side in (native.width, native.height))
    return timing.clock.to_bytes(2, "little") + bytes(
        (
            timing.width & 0xFF,
            timing.horizontal_blank & 0xFF,
            timing.width >> 8 << 4 | timing.horizontal_blank >> 8,
            timing.height & 0xFF,
            timing.vertical_blank & 0xFF,
            timing.height >> 8 << 4 | timing.vertical_blank >> 8,
            timing.horizontal_front,
            timing.horizontal_sync,
            timing.vertical_front << 4 | timing.vertical_sync,
            0,
            wide & 0xFF,
            high & 0xFF,
            wide >> 8 << 4 | high >> 8,
            0,
            0,
            0x1A,  # digital, separate syncs, horizontal positive: reduced blanking
        )
    )


def _descriptor(tag: int, data: bytes) -> bytes:
    return bytes((0, 0, 0, tag, 0)) + data.ljust(_DESCRIPTOR_BYTES - 5)


def _text(tag: int, text: bytes) -> bytes:
    return _descriptor(tag, text[:12] + b"\n")


def _range_limits(native: Timing) -> bytes:
    """Section 3.10.3.3: what the display accepts, with room around the mode.

    The bytes hold rates up to 255; an offset flag reaches 510.
    """
    lines = (native.height + native.vertical_blank) * REFRESH_HZ // 1000 + 10  # kHz
    megahertz = native.clock // 100 + 10
    flags = 0x08 if lines > 255 else 0
    rate = min(255, lines - 255 if lines > 255 else lines)
    clock = min(255, -(-megahertz // 10))
    # Without a timing formula (byte 10 is 1), the rest is a line feed and spaces.
    data = bytes((50, 75, 30, rate, clock, 1)) + b"\n"
    return bytes((0, 0, 0, _RANGE_LIMITS, flags)) + data.ljust(_DESCRIPTOR_BYTES - 5)


def _display_id_block(timing: Timing) -> bytes:
    section = b"".join(
        (
            _data_block(
                _PRODUCT_IDENTIFICATION, _PRODUCT.pack(b"VGP", PRODUCT, 0, 0, YEAR - 2000, 0)
            ),
            _data_block(_DISPLAY_PARAMETERS, _display_parameters(timing)),
            _data_block(_INTERFACE_FEATURES, _INTERFACE.pack(0x81, 0x11, 0x02)),
            _data_block(_TYPE_1_TIMING, _type_1_timing(timing)),
        )
    )
    standalone_display = 3
    header = bytes((0x13, len(section), standalone_display, 0))
    section = _with_checksum(header + section)
    return _with_checksum(bytes((_DISPLAY_ID,)) + section.ljust(BLOCK_BYTES - 2, b"\0"))


def _data_block(tag: int, payload: bytes) -> bytes:
    return bytes((tag, 0, len(payload))) + payload


def _display_parameters(timing: Timing) -> bytes:
    """Sizes in tenths of a millimetre and in pixels; the gamma and depth of the block before."""
    wide, high = (min(0xFFFF, _millimetres(side) * 10) for side in timing[:2])
    aspect = min(255, round((max(timing[:2]) / min(timing[:2]) - 1) * 100))
    return _PARAMETERS.pack(wide, high, timing.width, timing.height, 0, 120, aspect, 0x77)


def _type_1_timing(timing: Timing) -> bytes:
    preferred = 0x88  # with no particular aspect ratio
    positive = 0x8000
    return _TIMING.pack(
        (timing.clock - 1).to_bytes(3, "little"),
        preferred,
        timing.width - 1,
        timing.horizontal_blank - 1,
        timing.horizontal_front - 1 | positive,
        timing.horizontal_sync - 1,
        timing.height - 1,
        timing.vertical_blank - 1,
        timing.vertical_front - 1,
        timing.vertical_sync - 1,
    )
