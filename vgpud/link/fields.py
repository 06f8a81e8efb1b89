# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Turns JSON values into the declared types of a message's fields."""

from collections.abc import Callable
from typing import Any


class LinkError(Exception):
    """The other side broke a link's protocol; the link cannot be used any more."""


def structured(message: type[Any], values: dict[str, Any]) -> Any:
    """The message with these fields; ``LinkError`` when one is missing, unknown or of a wrong type."""
    fields = message.__annotations__
    if values.keys() != fields.keys():
        raise LinkError(f"these are not the fields of {message.__name__}: {values!r:.80}")
    return message(**{name: _structure(fields[name], values[name]) for name in fields})


def printable(value: Any) -> Any:
    """Replaces what is not printable: the other side takes only printable text, and a renderer's
    text may be anything.
    """
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(character if character.isprintable() else " " for character in value)


def _structure(declared: Any, value: Any) -> Any:
    """``value`` as its declared type; ``LinkError`` when it cannot be."""
    check = _CHECKS.get(declared)
    if check is not None:
        if not check(value):
            raise LinkError(f"{value!r:.80} is not {declared.__name__}")
        return value
    if not isinstance(value, list):
        raise LinkError(f"{value!r:.80} is not a list")
    if getattr(declared, "__origin__", None) is tuple:
        return tuple(_structure(declared.__args__[0], item) for item in value)
    # json writes a part of a message (a tuple) as a list.
    fields = declared.__annotations__.values()
    if len(value) != len(fields):
        raise LinkError(f"{value!r:.80} is not {declared.__name__}")
    return declared(*map(_structure, fields, value))


_CHECKS: dict[Any, Callable[[Any], bool]] = {
    int: lambda value: type(value) is int and 0 <= value < 1 << 64,
    bool: lambda value: type(value) is bool,
    # What is not printable (line feeds, lone surrogates) would be trouble in a log.
    str: lambda value: type(value) is str and value.isprintable(),
    bytes: lambda value: type(value) is bytes,
}
