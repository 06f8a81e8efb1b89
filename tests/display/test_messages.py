# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The display socket's replies, cut out of a stream that may be anything."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.display.messages import (
    DisplayProtocolError,
    ProtocolFeature,
    ReplyDecoder,
    Request,
    get_edid,
    protocol_features,
    set_protocol_features,
)


def reply(request: int, payload: bytes, flags: int = 4) -> bytes:
    return struct.pack("=3I", request, flags, len(payload)) + payload


@given(st.lists(st.integers(1, 64), max_size=40))
def test_replies_are_found_however_the_stream_is_cut(cuts: list[int]) -> None:
    stream = reply(1, bytes(8)) + reply(10, b"") + reply(3, bytes(408)) + reply(11, bytes(1056))
    decoder = ReplyDecoder()
    found = []
    for cut in cuts:
        found += list(decoder.feed(stream[:cut]))
        stream = stream[cut:]
    found += list(decoder.feed(stream))
    assert [reply.request for reply in found] == [
        Request.GET_PROTOCOL_FEATURES,
        Request.GET_DISPLAY_INFO,
        Request.GET_EDID,
    ]


@pytest.mark.parametrize(
    "broken",
    [
        reply(1, bytes(8), flags=0),
        reply(1, bytes(7)),
        reply(3, bytes(409)),
        reply(11, b""),
        reply(99, b"", flags=1),
        struct.pack("=3I", 1, 4, 2**32 - 1),
    ],
)
def test_what_is_no_reply_is_an_error(broken: bytes) -> None:
    with pytest.raises(DisplayProtocolError):
        list(ReplyDecoder().feed(broken))


@given(st.binary(max_size=200))
def test_no_stream_is_another_kind_of_error(stream: bytes) -> None:
    with suppress(DisplayProtocolError):
        list(ReplyDecoder().feed(stream))


def test_requests_are_laid_out_as_the_document_says() -> None:
    assert get_edid(3) == struct.pack("=4I", 11, 0, 4, 3)
    assert set_protocol_features(ProtocolFeature.EDID) == struct.pack("=3IQ", 2, 0, 8, 1)


def test_features_that_are_not_known_are_left_out() -> None:
    everything = struct.pack("=Q", 2**64 - 1)
    assert protocol_features(everything) == ProtocolFeature.EDID | ProtocolFeature.DMABUF2
