# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The messages between daemon, spawner and session as bytes: what is sent arrives, and nothing else
is accepted.
"""

import json
import os
import socket
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.link.fields import LinkError
from vgpud.tree import codec, messages
from vgpud.tree.links import NewLinks

KINDS = (
    *messages.TO_SPAWNER, *messages.FROM_SPAWNER, *messages.GRANTS, *messages.TO_SESSION, *messages.MEETING,
    *messages.FROM_SESSION,
)  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), max_size=40)
PLAIN = {int: st.integers(0, 2**64 - 1), str: TEXTS, bool: st.booleans()}


def values(declared: typing.Any) -> st.SearchStrategy[typing.Any]:
    if declared in PLAIN:
        return PLAIN[declared]
    if typing.get_origin(declared) is tuple:
        return st.lists(values(declared.__args__[0]), max_size=3).map(tuple)
    return message(declared)


def message(kind: typing.Any) -> st.SearchStrategy[typing.Any]:
    fields = {name: values(declared) for name, declared in kind.__annotations__.items()}
    return st.builds(kind, **fields)


@given(st.sampled_from(KINDS).flatmap(message))
def test_what_is_said_arrives(sent: typing.Any) -> None:
    line = codec.encode(sent)
    assert line.count(b"\n") == 1
    received = codec.decode(line, KINDS)
    assert (type(received), received) == (type(sent), sent)


@given(st.sampled_from(KINDS).flatmap(message), st.sampled_from(KINDS))
def test_nobody_says_what_is_not_his_to_say(sent: typing.Any, only: type) -> None:
    if type(sent) is not only:
        with pytest.raises(LinkError):
            codec.decode(codec.encode(sent), [only])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_it_is_no_message_or_one_of_those_allowed(data: bytes) -> None:
    try:
        received = codec.decode(data, messages.FROM_SESSION)
    except LinkError:
        return
    assert isinstance(received, messages.FROM_SESSION)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'["Pong",{"serial":-1}]',
        b'["Pong",{"serial":1.0}]',
        b'["Pong",{"serial":true}]',
        b'["Pong",{}]',
        b'["Pong",{"serial":1,"more":2}]',
        b'["Tried",{"description":"\\u001b[2J"}]',
        b'["Stop",{}]',
    ],
)
def test_a_field_that_is_not_as_declared_is_an_error(data: bytes) -> None:
    with pytest.raises(LinkError):
        codec.decode(data, messages.FROM_SESSION)


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.integers(1, 9))
def test_lines_are_put_together_however_they_arrive(whole: list[bytes], piece: int) -> None:
    data = b"".join(line + b"\n" for line in whole)
    lines = codec.Lines()
    found: list[bytes] = []
    for at in range(0, len(data), piece):
        found += lines.feed(data[at : at + piece])
    assert found == whole


def test_a_line_without_end_is_not_kept() -> None:
    lines = codec.Lines(limit=100)
    lines.feed(b"x" * 100)
    with pytest.raises(LinkError):
        lines.feed(b"x")


def test_a_packet_with_other_descriptors_than_it_should_have_leaves_none_open() -> None:
    with NewLinks() as links:
        upper, lower = links.orders()
        end = socket.socket(fileno=os.dup(lower))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with upper, end:
        socket.send_fds(upper, [codec.encode(messages.AskReport(1))], [0, 1, 2])
        with pytest.raises(LinkError):
            codec.receive(end, messages.TO_SESSION)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        with pytest.raises(BlockingIOError):
            codec.receive(end, messages.TO_SESSION)


def test_nothing_can_be_queued_towards_who_gives_orders() -> None:
    with NewLinks() as links:
        upper, lower = links.orders()
        end = socket.socket(fileno=os.dup(lower))
    with upper, end, pytest.raises(BrokenPipeError):
        socket.send_fds(end, [b"x"], [0])


def test_an_end_that_does_not_read_is_not_waited_for() -> None:
    with NewLinks() as links:
        upper, lower = links.orders()
        end = socket.socket(fileno=os.dup(lower))
    with upper, end, pytest.raises(BlockingIOError):
        send_many(upper, 10_000)


def send_many(end: socket.socket, count: int) -> None:
    for _ in range(count):
        codec.send(end, messages.AskReport(1))


def test_links_that_were_not_finished_leave_nothing_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    links = NewLinks()
    with links:
        links.orders()
        links.reports()
        links.reports(keep=True)
        links.lend(socket.socket(socket.AF_UNIX))
        links.keep_nothing()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
