# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Writes a configuration as a TOML file that reads back as the same configuration, with a comment on each value."""

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import tomli_w
from attrs import frozen

from vgpud.config.load import Loaded
from vgpud.config.options import DISPLAY_OPTIONS, OPTIONS, SECTIONS, Option
from vgpud.config.schema import Config, Display

PREAMBLE = """\
The configuration of vgpud, described in vgpud.toml(5). Everything here is what the program uses without a file; a
key that has no default is commented out. Keep only what you change.\
"""
TABLES: dict[str, type] = {**SECTIONS, "[displays]": Display}


@frozen
class _Entry:
    """An option with the value to write for it."""

    option: Option
    value: Any

    def line(self) -> str:
        """``key = value``; commented out when there is no value, which TOML cannot express."""
        if self.value is None:
            return f"#{self.option.name} = {self.option.kind.metavar}"
        return tomli_w.dumps({self.option.name: self.option.kind.write(self.value)}).rstrip("\n")


def dump(loaded: Loaded) -> str:
    """The file for ``--print-config``: each value with its source."""
    parts = []
    for header, entries in _tables(loaded.config):
        parts.append(f"[{header}]\n")
        for entry in entries:
            option = entry.option
            origin = loaded.origins.get(option.key) or loaded.origins.get(option.section)
            parts.append(_beside(entry.line(), origin or _built_in(entry)) + "\n")
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


def example() -> str:
    """The annotated example: every key with its default, and its help above it."""
    parts = [_wrapped(PREAMBLE)]
    for header, entries in _tables(Config()):
        parts.append(f"\n\n{_wrapped(inspect.getdoc(TABLES[header]) or '')}\n[{header}]\n")
        parts.append(
            "\n".join(f"{_wrapped(entry.option.help)}\n{entry.line()}" for entry in entries)
        )
    return "".join(parts) + "\n"


def _tables(config: Config) -> Iterator[tuple[str, list[_Entry]]]:
    """Each table's header, without its outer brackets, and its entries."""
    for section in SECTIONS:
        table = getattr(config, section)
        options = (option for option in OPTIONS if option.section == section)
        yield section, [_Entry(option, getattr(table, option.name)) for option in options]
    for display in config.displays:
        yield (
            "[displays]",
            [_Entry(option, getattr(display, option.name)) for option in DISPLAY_OPTIONS],
        )


def _built_in(entry: _Entry) -> str:
    return "not set" if entry.value is None else "built-in"


def _beside(line: str, remark: str) -> str:
    # An array takes several lines, and its comment goes on the first.
    first, newline, rest = line.partition("\n")
    return f"{first}  # {_printable(remark)}{newline}{rest}"


def _wrapped(remark: str) -> str:
    return textwrap.fill(remark, 98, initial_indent="# ", subsequent_indent="# ")


def _printable(remark: str) -> str:
    """A path may hold what a TOML comment may not."""
    return "".join(character if character.isprintable() else "?" for character in remark)
