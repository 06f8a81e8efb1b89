# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Structures survive being packed and unpacked, and say so when bytes are missing."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.wire import layout, virtio_gpu, virtio_ring

STRUCTURES = [
    value
    for module in (virtio_gpu, virtio_ring)
    for value in vars(module).values()
    if isinstance(value, type) and value.__name__.startswith(("virtio_gpu_", "vring_"))
]

SCALARS = {
    "B": st.integers(0, 2**8 - 1),
    "H": st.integers(0, 2**16 - 1),
    "I": st.integers(0, 2**32 - 1),
    "Q": st.integers(0, 2**64 - 1),
    "3s": st.binary(min_size=3, max_size=3),
    "16s": st.binary(min_size=16, max_size=16),
    "64s": st.binary(min_size=64, max_size=64),
    "1024s": st.binary(min_size=1024, max_size=1024),
    "4I": st.tuples(*[st.integers(0, 2**32 - 1)] * 4),
}


def _values(declared: Any) -> st.SearchStrategy[Any]:
    if not hasattr(declared, "__metadata__"):
        return st.builds(declared, *map(_values, declared.__annotations__.values()))
    form = declared.__metadata__[0]
    if isinstance(form, int):
        return st.tuples(*[_values(get_args(get_args(declared)[0])[0])] * form)
    return SCALARS[form]


@given(st.data())
@pytest.mark.parametrize("kind", STRUCTURES, ids=lambda kind: kind.__name__)
def test_what_is_packed_is_unpacked(kind: type[Any], data: st.DataObject) -> None:
    value = data.draw(_values(kind))
    packed = layout.pack(value)
    assert len(packed) == layout.size_of(kind)
    assert layout.unpack(kind, packed) == value
    assert layout.unpack(kind, memoryview(b"before" + packed + b"after"), 6) == value


@given(st.data())
@pytest.mark.parametrize("kind", STRUCTURES, ids=lambda kind: kind.__name__)
def test_fields_are_read_where_the_offsets_say(kind: type[Any], data: st.DataObject) -> None:
    value = data.draw(_values(kind))
    packed = layout.pack(value)
    for name, offset in layout.offsets_of(kind).items():
        field = getattr(value, name)
        if isinstance(field, int):
            size = {"B": 1, "H": 2, "I": 4, "Q": 8}[kind.__annotations__[name].__metadata__[0]]
            assert int.from_bytes(packed[offset : offset + size], "little") == field


@given(st.data())
@pytest.mark.parametrize(
    "kind", [kind for kind in STRUCTURES if kind.__annotations__], ids=lambda kind: kind.__name__
)
def test_a_structure_that_is_cut_short_is_an_error(kind: type[Any], data: st.DataObject) -> None:
    packed = layout.pack(data.draw(_values(kind)))
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(layout.TruncatedError):
        layout.unpack(kind, packed[:cut])
