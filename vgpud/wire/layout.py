# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A little-endian C structure, declared as a named tuple whose annotations give each field's
layout.

    class virtio_gpu_rect(NamedTuple):
        x: le32
        y: le32

``pack``, ``unpack``, ``size_of`` and ``offsets_of`` work on any such class.  In CPython a
precompiled Struct that fills a named tuple is the fastest readable way (about 0.2 µs for a header).
"""

import struct
from collections.abc import Callable
from struct import Struct
from typing import Annotated, Any, NamedTuple, TypeVar

u8 = Annotated[int, "B"]
le16 = Annotated[int, "H"]
le32 = Annotated[int, "I"]
le64 = Annotated[int, "Q"]
# An array of structures is Annotated[tuple[kind, ...], count].

Structure = TypeVar("Structure", bound=tuple[Any, ...])
Values = tuple[Any, ...]


class TruncatedError(ValueError):
    """There are fewer bytes than the structure has."""


class _Layout(NamedTuple):
    struct: Struct
    make: Callable[[Values], Any]
    plain: bool


_layouts: dict[type[Any], _Layout] = {}


def unpack(kind: type[Structure], data: bytes | memoryview, offset: int = 0) -> Structure:
    """The structure at ``offset`` of ``data``; ``TruncatedError`` when ``data`` ends before it."""
    layout = _layouts.get(kind) or _layout(kind)
    try:
        return layout.make(layout.struct.unpack_from(data, offset))  # type: ignore[no-any-return]
    except struct.error:
        raise TruncatedError(f"{len(data) - offset} bytes of a {kind.__name__}") from None


def pack(value: Values) -> bytes:
    """The bytes of a structure."""
    layout = _layouts.get(type(value)) or _layout(type(value))
    return layout.struct.pack(*(value if layout.plain else _flatten(value)))


def size_of(kind: type[Any]) -> int:
    """As C's sizeof, in bytes."""
    return (_layouts.get(kind) or _layout(kind)).struct.size


def offsets_of(kind: type[Any]) -> dict[str, int]:
    """As C's offsetof for each field, in bytes."""
    offsets, size = {}, 0
    for name, declared in kind.__annotations__.items():
        offsets[name] = size
        size += Struct("<" + _format(declared)).size
    return offsets


def _layout(kind: type[Any]) -> _Layout:
    plain = all(_is_scalar(declared) for declared in kind.__annotations__.values())
    layout = _Layout(Struct("<" + _format(kind)), kind._make if plain else _maker(kind), plain)
    return _layouts.setdefault(kind, layout)


def _is_scalar(declared: Any) -> bool:
    return hasattr(declared, "__metadata__") and _count(declared) == 1


def _format(declared: Any) -> str:
    if not hasattr(declared, "__metadata__"):
        return "".join(map(_format, declared.__annotations__.values()))
    form = declared.__metadata__[0]
    return _format(_item(declared)) * form if isinstance(form, int) else str(form)


def _item(array: Any) -> type[Any]:
    return array.__origin__.__args__[0]  # type: ignore[no-any-return]


def _count(declared: Any) -> int:
    """How many values struct unpacks for the field."""
    struct = Struct("<" + _format(declared))
    return len(struct.unpack(bytes(struct.size)))


def _maker(declared: Any) -> Callable[[Values], Any]:
    """A function that makes a field, or a whole structure, from the values that struct has
    unpacked.
    """
    if not hasattr(declared, "__metadata__"):
        return _structure_maker(declared)
    if isinstance(declared.__metadata__[0], int):
        make, step = _maker(_item(declared)), _count(_item(declared))
        return lambda values: tuple(
            make(values[place : place + step]) for place in range(0, len(values), step)
        )
    return (lambda values: values[0]) if _count(declared) == 1 else tuple


def _structure_maker(kind: type[Any]) -> Callable[[Values], Any]:
    fields, start = [], 0
    for declared in kind.__annotations__.values():
        end = start + _count(declared)
        fields.append((_maker(declared), start, end))
        start = end
    return lambda values: kind._make(make(values[start:end]) for make, start, end in fields)


def _flatten(value: Values) -> list[Any]:
    flat: list[Any] = []
    for part in value:
        if isinstance(part, tuple):
            flat += _flatten(part)
        else:
            flat.append(part)
    return flat
