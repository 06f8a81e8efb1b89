# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A machine's own file, ``machines/NAME.toml`` beside the general one: limits and displays for this
machine only.
"""

import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from attrs import evolve

from vgpud.config.runtime import MACHINES_NAME
from vgpud.config.schema import Config
from vgpud.errors import ConfigurationError

SUFFIX = ".toml"
# Limits that a host has, but not a machine.
OF_THE_HOST = ("machines", "connections_of_user", "silent_connections", "first_message")
_PLAIN = re.compile(rb"[A-Za-z0-9:_@+.-]")
# Bytes of a machine's name in a file's name; the suffix fits too into the 255 that a file system
# allows.
FILE_NAME_MAX = 200


def file_name(name: str) -> str:
    """A machine's name for a file's name: other bytes are written ``\\xNN``, as systemd-escape(1)
    does.
    """
    encoded = name.encode(errors="replace")
    parts = (encoded[at : at + 1] for at in range(len(encoded)))
    text = "".join(one.decode() if _PLAIN.match(one) else f"\\x{one[0]:02x}" for one in parts)
    # No hidden file, and neither "." nor "..".
    return (f"\\x2e{text[1:]}" if text.startswith(".") else text)[:FILE_NAME_MAX]


def machine_folders(folders: Iterable[Path]) -> tuple[Path, ...]:
    """The existing folders for machines' files, in those of the general files. A folder that we may
    not look into, such as the home of a user who has started us as another user, counts as missing.
    """
    places = (folder / MACHINES_NAME for folder in folders)
    return tuple(place for place in places if _is(stat.S_ISDIR, place))


def _is(kind: Callable[[int], bool], path: Path) -> bool:
    try:
        return kind(path.stat().st_mode)
    except OSError:
        return False


def find_machine_file(folders: Iterable[Path], name: str) -> Path | None:
    """The first file that exists."""
    paths = (folder / f"{file_name(name)}{SUFFIX}" for folder in folders)
    return next((path for path in paths if _is(stat.S_ISREG, path)), None) if name else None


def all_machine_files(folders: Iterable[Path]) -> Iterator[Path]:
    """The files of all machines."""
    for folder in machine_folders(folders):
        yield from sorted(folder.glob(f"*{SUFFIX}"))


def read_machine_file(path: Path, config: Config) -> Config:
    """The configuration of that machine; ``ConfigurationError`` with every mistake in the file."""
    from vgpud.config.file import read_file  # costs the import of cattrs

    values, found = read_file(path)
    mistakes = [f"{path}: {key}: {why}" for key, why in found]
    mistakes += [f"{path}: {key}: {why}" for key in values if (why := _why_not(key))]
    if mistakes:
        raise ConfigurationError(*mistakes)
    given = {key.removeprefix("limits."): value for key, value in values.items()}
    displays = given.pop("displays", config.displays)
    return evolve(config, displays=displays, limits=evolve(config.limits, **given))


def _why_not(key: str) -> str:
    """Why a key may not be in the file of one machine; empty when it may."""
    section, _, name = key.partition(".")
    if section not in ("limits", "displays"):
        return "a machine's own file may have only limits and displays"
    return "this limit is the host's: set it in the general file" if name in OF_THE_HOST else ""
