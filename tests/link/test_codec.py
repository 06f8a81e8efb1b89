# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The link's messages as bytes: what is sent arrives, and nothing else is taken for a message."""

import contextlib
import json
import os
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.link import codec, messages, rights
from vgpud.link.fields import LinkError

NUMBERS = st.integers(0, 2**64 - 1)
TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), max_size=40)
PLAIN = {int: NUMBERS, bool: st.booleans(), str: TEXTS, bytes: st.binary(max_size=100)}


def _values(declared: typing.Any) -> st.SearchStrategy[typing.Any]:
    if declared in PLAIN:
        return PLAIN[declared]
    if getattr(declared, "__origin__", None) is tuple:
        return st.lists(_values(declared.__args__[0]), max_size=4).map(tuple)
    return st.builds(declared, *map(_values, declared.__annotations__.values()))


any_message = st.one_of([_values(kind) for kind in messages.KINDS])


def _open(count: int) -> list[int]:
    return [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@given(any_message)
def test_what_is_encoded_is_decoded(message: messages.Message) -> None:
    decoder = codec.Decoder()
    descriptors = list(range(1000, 1000 + messages.descriptors_of(message)))
    decoder.feed(codec.encode(message), descriptors)
    [(decoded, received)] = list(decoder.messages())
    assert type(decoded) is type(message)
    assert decoded == message
    assert received == descriptors


@given(st.lists(any_message, max_size=4), st.data())
def test_messages_survive_being_cut_anywhere(
    sent: list[messages.Message], data: st.DataObject
) -> None:
    """Descriptors come with the first byte of their message, as the kernel has it."""
    decoder = codec.Decoder()
    received = []
    for message in sent:
        stream = codec.encode(message)
        descriptors = range(messages.descriptors_of(message))
        while stream:
            cut = data.draw(st.integers(1, len(stream)))
            decoder.feed(stream[:cut], descriptors)
            stream, descriptors = stream[cut:], range(0)
            received += [message for message, _ in decoder.messages()]
    assert received == sent


@given(st.integers(0, 2**32 - 1), st.binary(max_size=200), st.binary(max_size=20))
def test_bytes_that_are_no_message_are_a_link_error_at_most(
    kind: int, text: bytes, blob: bytes
) -> None:
    decoder = codec.Decoder()
    decoder.feed(codec.HEADER.pack(kind, len(text), len(blob), 0) + text + blob)
    with contextlib.suppress(LinkError):
        list(decoder.messages())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"serial": -1},
        {"serial": 2**64},
        {"serial": "1"},
        {"serial": 1.0},
        {"serial": True},
        {"serial": None},
        {"serial": [1]},
        {"serial": 1, "another": 2},
        [1],
        1,
        None,
    ],
)
def test_a_field_of_a_wrong_type_is_a_link_error(fields: object) -> None:
    with pytest.raises(LinkError):
        codec.decode(messages.KINDS.index(messages.Done), json.dumps(fields).encode(), b"")


@pytest.mark.parametrize("text", ["\n", "\0", "\x1b[31m", "\ud800"])
def test_text_that_would_upset_a_log_is_a_link_error(text: str) -> None:
    fields = json.dumps({"level": "INFO", "text": text}).encode()
    with pytest.raises(LinkError):
        codec.decode(messages.KINDS.index(messages.Log), fields, b"")


def test_text_is_made_printable_before_it_is_sent() -> None:
    decoder = codec.Decoder()
    decoder.feed(codec.encode(messages.Log("ERROR", "one\ntwo\x1b")))
    assert [message for message, _ in decoder.messages()] == [messages.Log("ERROR", "one two ")]


@pytest.mark.parametrize(
    "header",
    [
        (len(messages.KINDS), 2, 0, 0),
        (0, codec.MAXIMUM_TEXT + 1, 0, 0),
        (0, 2, codec.MAXIMUM_BLOB + 1, 0),
    ],
)
def test_an_impossible_header_is_refused_before_its_payload_is_kept(
    header: tuple[int, int, int, int],
) -> None:
    decoder = codec.Decoder()
    decoder.feed(codec.HEADER.pack(*header))
    with pytest.raises(LinkError):
        list(decoder.messages())


def test_a_message_too_large_is_not_sent() -> None:
    with pytest.raises(LinkError):
        codec.encode(messages.BackingAttached(1, bytes(codec.MAXIMUM_BLOB + 1)))
    with pytest.raises(LinkError):
        codec.encode(messages.Log("INFO", "x" * codec.MAXIMUM_TEXT))


@pytest.mark.parametrize(("claimed", "sent"), [(0, 0), (0, 1), (1, 0), (2, 2)])
def test_a_message_without_exactly_its_descriptors_is_refused(claimed: int, sent: int) -> None:
    data = bytearray(codec.encode(messages.ResourceCreated(1, 1, 64, 64)))
    data[12:16] = claimed.to_bytes(4, "little")
    decoder = codec.Decoder()
    decoder.feed(bytes(data), range(1000, 1000 + sent))
    with pytest.raises(LinkError):
        list(decoder.messages())


HEADERS = {
    "nothing": b"",
    "a message that has none": codec.encode(messages.Done(1)),
    "a beginning that says none": codec.encode(messages.Done(1))[:-1],
    "a beginning that says one": codec.encode(messages.ResourceCreated(1, 1, 64, 64))[:-1],
    "a message that has one, and nothing": codec.encode(messages.ResourceCreated(1, 1, 64, 64)),
}


def _receive(decoder: codec.Decoder) -> None:
    for _, belonging in decoder.messages():
        rights.close(belonging)


def _trickle(decoder: codec.Decoder, data: bytes) -> None:
    for byte in data:
        decoder.feed(bytes((byte,)), range(rights.MAXIMUM_DESCRIPTORS))
        list(decoder.messages())


@pytest.mark.parametrize("begun", list(HEADERS))
def test_descriptors_that_no_message_claims_are_refused_and_closed(begun: str) -> None:
    descriptors = _open(2)
    decoder = codec.Decoder()
    decoder.feed(HEADERS[begun], descriptors)
    with pytest.raises(LinkError):
        _receive(decoder)
    decoder.close()
    assert not any(map(_is_open, descriptors))


@pytest.mark.parametrize("begun", list(HEADERS))
def test_no_message_however_slow_collects_descriptors(begun: str) -> None:
    """Nor one of a header that is not whole yet: it may have been cut by the reader."""
    decoder = codec.Decoder()
    with pytest.raises(LinkError):
        _trickle(decoder, HEADERS[begun] or b"xxx")
    assert len(decoder._descriptors) <= 2 * rights.MAXIMUM_DESCRIPTORS
    decoder._descriptors.clear()


@pytest.mark.parametrize(
    "header",
    [
        (messages.KINDS.index(messages.ResourceCreated), 100, 0, 254),
        (messages.KINDS.index(messages.Done), 100, 0, 1),
        (messages.KINDS.index(messages.SetMemory), 100, 0, 1),
    ],
    ids=["more than any", "of none", "what only the daemon says"],
)
def test_a_header_that_claims_what_it_may_not_is_refused_at_once(
    header: tuple[int, int, int, int],
) -> None:
    decoder = codec.Decoder(messages.FROM_DEVICE)
    decoder.feed(codec.HEADER.pack(*header))
    with pytest.raises(LinkError):
        list(decoder.messages())


def test_either_side_has_its_own_kinds() -> None:
    assert set(messages.FROM_SESSION) | set(messages.FROM_DEVICE) == set(messages.KINDS)
    assert not set(messages.FROM_SESSION) & set(messages.FROM_DEVICE)
