# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Kinds of configuration values: each reads a word of a command line and a value of a TOML file.

Both readers raise `ValueError` with a sentence that says what was expected; the caller knows where
the value was.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

from attrs import field, frozen

T = TypeVar("T")
UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
PERMISSIONS_MAX = 0o777
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class Kind(Generic[T]):
    """One kind of value; subclasses say how it is written."""

    metavar = "VALUE"

    def parse(self, text: str) -> T:
        """The value that `text`, from a flag or an environment variable, stands for."""
        return self.read(text)

    def read(self, value: object) -> T:
        """The value that a TOML value stands for."""
        raise NotImplementedError

    def write(self, value: T) -> object:
        """The TOML value that `read` reads back as `value`."""
        return value


@frozen
class Boolean(Kind[bool]):
    metavar = "true|false"

    def parse(self, text: str) -> bool:
        if text.lower() in TRUE:
            return True
        if text.lower() in FALSE:
            return False
        raise ValueError(f"expected true or false, not {shown(text)}")

    def read(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        raise ValueError(f"expected true or false, not {shown(value)}")


@frozen
class Text(Kind[str]):
    metavar: str = "TEXT"

    def read(self, value: object) -> str:
        if isinstance(value, str) and value:
            return value
        raise ValueError(f"expected a text that is not empty, not {shown(value)}")


@frozen
class KeyboardLayout(Kind[str]):
    """A layout by its name in setxkbmap(1), ``de``, or with a variant, ``de(nodeadkeys)``.  Whether
    it exists is not checked.
    """

    metavar: str = "LAYOUT"

    def read(self, value: object) -> str:
        if isinstance(value, str) and re.fullmatch(
            r"[a-z0-9_]{1,32}(\([\w-]{1,32}\))?", value, re.ASCII
        ):
            return value
        raise ValueError(
            f'expected a keyboard layout such as "de" or "de(nodeadkeys)", not {shown(value)}'
        )


@frozen
class FilePath(Kind[Path]):
    metavar: str = "PATH"

    def read(self, value: object) -> Path:
        if not isinstance(value, str) or not value:
            raise ValueError(f"expected a path, not {shown(value)}")
        if "\0" in value:
            raise ValueError("expected a path, which cannot hold a null character")
        return Path(value)

    def write(self, value: Path) -> object:
        return str(value)


@frozen
class Choice(Kind[str]):
    """One of `values`; `also` maps other spellings, which are accepted but never written, to one of
    them.
    """

    values: tuple[str, ...]
    metavar: str = "NAME"
    also: dict[str, str] = field(factory=dict)

    def read(self, value: object) -> str:
        if isinstance(value, str) and self.also.get(value, value) in self.values:
            return self.also.get(value, value)
        raise ValueError(f"expected {_either(self.values)}, not {shown(value)}")


@frozen
class Choices(Kind[tuple[str, ...]]):
    """Any of `values`, each once: an array in TOML, separated by commas on a command line."""

    values: tuple[str, ...]
    metavar: str = "NAME[,NAME...]"

    def parse(self, text: str) -> tuple[str, ...]:
        return self.read([word.strip() for word in text.split(",") if word.strip()])

    def read(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValueError(f"expected an array of names, not {shown(value)}")
        for word in value:
            if word not in self.values:
                raise ValueError(f"expected {_either(self.values)}, not {shown(word)}")
        return tuple(dict.fromkeys(value))

    def write(self, value: tuple[str, ...]) -> object:
        return list(value)


@frozen
class Integer(Kind[int]):
    low: int
    high: int
    metavar: str = "N"

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,20}", text):
            raise ValueError(f"expected a whole number, not {shown(text)}")
        return self.read(int(text))

    def read(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"expected a whole number, not {shown(value)}")
        if not self.low <= value <= self.high:
            raise ValueError(f"expected {self.low} to {self.high}, not {value}")
        return value


@frozen
class Seconds(Kind[float]):
    low: float
    high: float
    metavar: str = "SECONDS"

    def parse(self, text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            raise ValueError(f"expected a number of seconds, not {shown(text)}")
        return self.read(float(text))

    def read(self, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"expected a number of seconds, not {shown(value)}")
        # Written so that "nan", which TOML has, fails too.
        if not self.low <= value <= self.high:
            raise ValueError(f"expected {self.low:g} to {self.high:g} seconds, not {value:g}")
        return float(value)


@frozen
class Permissions(Kind[int]):
    """The permission bits of a file, as a text of octal digits: `"0660"`.  A number is refused: 660
    and 0o660 differ, and TOML has both.
    """

    metavar: str = "MODE"

    def read(self, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            raise ValueError(_permissions_meant(value))
        if isinstance(value, str) and re.fullmatch(r"(0o)?[0-7]{3,4}", value):
            mode = int(value.removeprefix("0o"), 8)
            if mode <= PERMISSIONS_MAX:
                return mode
        raise ValueError(f'expected octal permissions such as "0660", not {shown(value)}')

    def write(self, value: int) -> object:
        return f"{value:04o}"


@frozen
class Size(Kind[int]):
    """A number of bytes: a whole number, or a text with a unit of 1024 (KiB, MiB, GiB, TiB)."""

    low: int
    high: int
    metavar: str = "SIZE"
    multiple: int = 1

    def read(self, value: object) -> int:
        size = _bytes(value)
        if not self.low <= size <= self.high:
            raise ValueError(
                f"expected {self.write(self.low)} to {self.write(self.high)}, not {self.write(size)}"
            )
        if size % self.multiple:
            raise ValueError(
                f"expected a multiple of {self.write(self.multiple)}, not {self.write(size)}"
            )
        return size

    def write(self, value: int) -> object:
        for unit in ("TiB", "GiB", "MiB", "KiB"):
            if value and value % UNITS[unit] == 0:
                return f"{value // UNITS[unit]}{unit}"
        return value


def _permissions_meant(number: int) -> str:
    """The message for a number: its digits may be octal already, or the decimal digits of an octal
    number.
    """
    meant = [f'"0{number}"'] if re.fullmatch(r"[0-7]{3}", str(number)) else []
    if 0 <= number <= PERMISSIONS_MAX:
        meant.append(f'"{number:04o}"')
    spelled = " or ".join(meant) or 'such as "0660"'
    return f"expected octal permissions in quotes: {spelled}, not {number}"


def _bytes(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = re.fullmatch(r"([0-9]{1,20}) ?(|B|[KMGT]iB)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'expected a size such as "512MiB", not {shown(value)}')
    return int(match[1]) * UNITS[match[2]]


def shown(value: object) -> str:
    """A value as a TOML file has it, cut so that a message stays one line."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = {"True": "true", "False": "false"}.get(text, text)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _either(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"
