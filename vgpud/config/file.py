# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Reads one TOML file, and finds every mistake in it at once.

Not in `load`, because cattrs costs time and memory that a program without a file need not spend.
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from vgpud.config.nearest import nearest
from vgpud.config.options import BY_KEY, OPTIONS, SECTIONS
from vgpud.config.schema import MAX_SCANOUTS, Config, Declaration, Display
from vgpud.errors import ConfigurationError

Hook = Callable[[Any, Any], Any]


Mistake = tuple[str, str]  # the key's path, and what is wrong there


def read_file(path: Path) -> tuple[dict[str, Any], list[Mistake]]:
    """The values that the file sets, each under its key, and every mistake in it.

    Raises ConfigurationError for a file that cannot be read or is no TOML at all.
    """
    text = ""
    try:
        text = path.read_bytes().decode()
        raw = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}{_number_hint(text, str(error))}") from None
    mistakes: list[Mistake] = []
    try:
        config = _CONVERTER.structure(raw, Config)
    except cattrs.BaseValidationError as error:
        mistakes = list(_mistakes(error, ""))
        raw = _without(raw, {key for key, _ in mistakes})
        config = _CONVERTER.structure(raw, Config)
    return _values(raw, config), mistakes


# Matches the whole line, since TOML's reader stops after the zero.
_OCTAL_LINE = re.compile(r"\s*[\w.\-]+\s*=\s*(0[0-7]+)\s*(#.*)?")


def _number_hint(text: str, error: str) -> str:
    """A hint when a number begins with 0, as permissions do outside TOML."""
    place = re.search(r"at line ([0-9]+)", error)
    line = text.splitlines()[int(place[1]) - 1] if place else ""
    octal = _OCTAL_LINE.fullmatch(line)
    return f'; a number cannot begin with 0, permissions are written "{octal[1]}"' if octal else ""


def _without(raw: dict[str, Any], wrong: set[str]) -> dict[str, Any]:
    """A file without its `wrong` keys, so that the rest can be checked with the other sources."""

    def sound(key: str) -> bool:
        return not any(bad == key or bad.startswith(f"{key}[") for bad in wrong)

    return {
        section: {name: value for name, value in table.items() if sound(_joined(section, name))}
        if isinstance(table, dict)
        else table
        for section, table in raw.items()
        if sound(_joined("", section))
    }


def _values(raw: dict[str, Any], config: Config) -> dict[str, Any]:
    """The values that the file itself sets."""
    values = {
        f"{section}.{name}": getattr(getattr(config, section), name)
        for section in SECTIONS
        for name in raw.get(section, {})
    }
    if "displays" in raw:
        values["displays"] = config.displays
    return values


def _structure_table(table: type) -> Hook:
    """How cattrs makes a `table` of the schema: each field by its own kind, unknown keys refused."""

    def field_hook(declared: Declaration) -> Hook:
        return lambda value, _: declared.kind.read(value)

    overrides = {
        attribute.name: override(struct_hook=field_hook(attribute.metadata["option"]))
        for attribute in attrs.fields(table)
        if "option" in attribute.metadata
    }
    structure: Hook = make_dict_structure_fn(
        table,
        _CONVERTER,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        **overrides,  # type: ignore[arg-type]  # the remaining keywords are names of fields
    )

    def checked(value: Any, type_: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("expected a table")
        return structure(value, type_)

    return checked


def _structure_displays(value: Any, _: Any) -> tuple[Display, ...]:
    if not isinstance(value, list):
        raise ValueError("expected an array of tables, [[displays]]")
    if not 1 <= len(value) <= MAX_SCANOUTS:
        raise ValueError(f"expected 1 to {MAX_SCANOUTS} displays, not {len(value)}")
    return tuple(_CONVERTER.structure(value, list[Display]))


def _mistakes(error: BaseException, key: str) -> Iterator[Mistake]:
    """Every mistake under `error`, with the path of its key, in the order of the schema."""
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        for name in sorted(error.extra_fields):
            unknown = _joined(key, name)
            yield unknown, f"unknown key{_suggestion(unknown, error.cl)}"
    elif isinstance(error, cattrs.ClassValidationError):
        noted, others = error.group_exceptions()
        for cause, note in noted:
            yield from _mistakes(cause, _joined(key, note.name))
        for other in others:
            yield from _mistakes(other, key)
    elif isinstance(error, cattrs.IterableValidationError):
        for cause, position in error.group_exceptions()[0]:
            yield from _mistakes(cause, f"{key}[{position.index}]")
    else:
        yield key, str(error)


def _joined(key: str, name: str) -> str:
    name = name if name.replace("_", "").replace("-", "").isalnum() else repr(name)
    return f"{key}.{name}" if key else name


def _suggestion(unknown: str, table: type) -> str:
    """The key that was probably meant: one of this table, or one with this name in another
    table.
    """
    name = unknown.rpartition(".")[2].replace("-", "_")
    near = nearest(name, [field.name for field in attrs.fields(table)])
    if near:
        return f'; did you mean "{near}"?'
    spelled = {
        option.flag.removeprefix("--").replace("-", "_"): option.key
        for option in OPTIONS
        if option.flag
    }
    spelled |= {option.name: key for key, option in BY_KEY.items()}
    near = nearest(name, spelled, cutoff=0.8)
    return f'; did you mean "{spelled[near]}"?' if near else ""


_CONVERTER = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
for _table in (*SECTIONS.values(), Display):
    _CONVERTER.register_structure_hook(_table, _structure_table(_table))
_CONVERTER.register_structure_hook_func(
    lambda type_: type_ == tuple[Display, ...], _structure_displays
)
_CONVERTER.register_structure_hook(Config, _structure_table(Config))
