# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Numbers, texts and whole messages, of which most are nearly right."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.driver.memory import PAGE, MiB

SMALL = st.integers(0, 20)
EDGES = st.sampled_from(
    [
        0,
        1,
        2**8 - 1,
        PAGE - 1,
        PAGE,
        2**16,
        MiB,
        2**31 - 1,
        2**31,
        2**32 - 1,
        2**32,
        2**63,
        2**64 - 1,
    ]
)
NUMBERS = st.one_of(SMALL, EDGES, st.integers(0, 2**64 - 1))
U32 = st.one_of(SMALL, EDGES, st.integers(0, 2**32 - 1)).map(lambda number: number & 0xFFFF_FFFF)
ADDRESSES = st.one_of(
    st.integers(0, 40).map(lambda page: page * PAGE),
    st.sampled_from([1 << 20, 1 << 32, 1 << 40, 2**63, 2**64 - PAGE, 2**64 - 1]),
    NUMBERS,
)
SIZES = st.one_of(st.integers(0, 40).map(lambda page: page * PAGE), ADDRESSES)
BYTES = st.one_of(st.binary(max_size=64), st.binary(max_size=4096))
TEXTS = st.text(max_size=60)

_OF_TYPES: dict[Any, SearchStrategy[Any]] = {
    int: NUMBERS,
    bool: st.booleans(),
    str: st.one_of(st.sampled_from(["kick", "call", "err", "2d", "INFO", "null"]), TEXTS),
    bytes: BYTES,
}


def _of_type(declared: Any) -> SearchStrategy[Any]:
    if declared in _OF_TYPES:
        return _OF_TYPES[declared]
    if getattr(declared, "__origin__", None) is tuple:
        return st.lists(_of_type(declared.__args__[0]), max_size=4).map(tuple)
    return message(declared)


def message(kind: type[Any]) -> SearchStrategy[Any]:
    """One of that kind, each field of its declared type."""
    fields = {name: _of_type(declared) for name, declared in kind.__annotations__.items()}
    return st.builds(kind, **fields)


def spoilt(whole: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    """Bytes that were right: mostly as they are, some with another byte in them, or only their beginning."""
    return st.one_of(
        whole,
        whole,
        whole,
        st.builds(_changed, whole, NUMBERS, st.integers(0, 255)),
        st.builds(_begun, whole, NUMBERS),
    )


def _changed(data: bytes, place: int, byte: int) -> bytes:
    if not data:
        return data
    place %= len(data)
    return data[:place] + bytes([byte]) + data[place + 1 :]


def _begun(data: bytes, length: int) -> bytes:
    return data[: length % (len(data) + 1)]
