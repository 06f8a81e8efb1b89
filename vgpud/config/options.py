# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The table of options, derived from the schema: what flags, environment, file and manuals share."""

from collections.abc import Iterator
from typing import Any

import attrs
from attrs import frozen

from vgpud.config.kinds import Kind
from vgpud.config.schema import Config, Declaration, Display

ENVIRONMENT_PREFIX = "VGPUD_"


@frozen
class Option:
    """One value that can be configured."""

    section: str  # the table of the file
    name: str  # the key in it
    default: Any
    kind: Kind[Any]
    help: str
    flags: tuple[str, ...]
    presets: dict[str, str]
    variable: str

    @property
    def key(self) -> str:
        """Its path in the file: ``renderer.mode``."""
        return f"{self.section}.{self.name}"

    @property
    def flag(self) -> str | None:
        """Its first long flag: ``--gpu-mode``."""
        return next((flag for flag in self.flags if flag.startswith("--")), None)

    @property
    def environment(self) -> str:
        """Its environment variable, named after the flag, or otherwise after the key:
        ``VGPUD_GPU_MODE``.
        """
        name = self.flag.removeprefix("--") if self.flag else self.key
        return ENVIRONMENT_PREFIX + name.replace("-", "_").replace(".", "_").upper()

    @property
    def variables(self) -> tuple[str, ...]:
        """All environment variables that set it; the first one set counts."""
        return (self.environment, *filter(None, [self.variable]))


def section_options(section: str, table: type) -> Iterator[Option]:
    """The options that the fields of the class `table` declare."""
    for attribute in attrs.fields(table):
        declared: Declaration = attribute.metadata["option"]
        yield Option(
            section,
            attribute.name,
            attribute.default,
            declared.kind,
            declared.help,
            declared.flags,
            declared.presets,
            declared.variable,
        )


def _sections() -> Iterator[tuple[str, type]]:
    for attribute in attrs.fields(Config):
        if attribute.type is not None and attrs.has(attribute.type):
            yield attribute.name, attribute.type


SECTIONS: dict[str, type] = dict(_sections())
OPTIONS = tuple(
    option for section, table in SECTIONS.items() for option in section_options(section, table)
)
BY_KEY = {option.key: option for option in OPTIONS}
# An array of tables: only a file can have it, not flags or the environment.
DISPLAY_OPTIONS = tuple(section_options("displays", Display))
