# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The messages of QEMU's display socket ("Vhost-user-gpu Protocol"): requests out, replies in.

Native code writes scanouts, pixels and cursors (native/presenter/display_message.h); the messages
here have replies.  All numbers are in the host's byte order.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final, NamedTuple

HEADER: Final = Struct("=3I")  # request, flags, size of the payload
FLAG_REPLY: Final = 1 << 2

RESP_DISPLAY_INFO_BYTES: Final = 408
RESP_EDID_BYTES: Final = 1056
MAXIMUM_REPLY: Final = 4096


class Request(IntEnum):
    """The requests that the session makes here, as the document numbers them."""

    GET_PROTOCOL_FEATURES = 1
    SET_PROTOCOL_FEATURES = 2
    GET_DISPLAY_INFO = 3
    GET_EDID = 11


class ProtocolFeature(IntFlag):
    EDID = 1 << 0
    DMABUF2 = 1 << 1


# Bytes of the payload of each reply.
REPLY_BYTES: Final = {
    Request.GET_PROTOCOL_FEATURES: 8,
    Request.GET_DISPLAY_INFO: RESP_DISPLAY_INFO_BYTES,
    Request.GET_EDID: RESP_EDID_BYTES,
}


class DisplayProtocolError(Exception):
    """The display sent something that is not a reply: the stream cannot be read any further."""


class Reply(NamedTuple):
    request: Request
    payload: bytes


def get_protocol_features() -> bytes:
    return HEADER.pack(Request.GET_PROTOCOL_FEATURES, 0, 0)


def set_protocol_features(features: ProtocolFeature) -> bytes:
    return HEADER.pack(Request.SET_PROTOCOL_FEATURES, 0, 8) + struct.pack("=Q", features)


def get_display_info() -> bytes:
    return HEADER.pack(Request.GET_DISPLAY_INFO, 0, 0)


def get_edid(scanout_id: int) -> bytes:
    return HEADER.pack(Request.GET_EDID, 0, 4) + struct.pack("=I", scanout_id)


def protocol_features(payload: bytes) -> ProtocolFeature:
    """What a reply to GET_PROTOCOL_FEATURES offers, of the features known here."""
    known = ProtocolFeature.EDID | ProtocolFeature.DMABUF2
    return ProtocolFeature(struct.unpack("=Q", payload)[0]) & known


class ReplyDecoder:
    """Cuts the stream into replies."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, received: bytes) -> Iterator[Reply]:
        """The replies that are complete now; ``DisplayProtocolError`` when one makes no sense.

        Replies to other requests are left out: QEMU acknowledges a DMA buffer with an empty one.
        """
        self._received += received
        while len(self._received) >= HEADER.size:
            request, flags, size = HEADER.unpack_from(self._received)
            if not flags & FLAG_REPLY or size > MAXIMUM_REPLY:
                raise DisplayProtocolError(f"message {request}, flags {flags:#x}, {size} bytes")
            end = HEADER.size + size
            if len(self._received) < end:
                return
            payload = bytes(self._received[HEADER.size : end])
            del self._received[:end]
            if request in REPLY_BYTES:
                yield _checked(Request(request), payload)


def _checked(request: Request, payload: bytes) -> Reply:
    if len(payload) != REPLY_BYTES[request]:
        raise DisplayProtocolError(f"{request.name}: a reply of {len(payload)} bytes")
    return Reply(request, payload)
