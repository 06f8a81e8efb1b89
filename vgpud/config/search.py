# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Which files are read: the general one, ``vgpud.toml``, and an instance's, ``NAME.toml``."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from vgpud.config.runtime import MACHINES_NAME
from vgpud.errors import ConfigurationError

CONFIG_VARIABLE = "VGPUD_CONFIG"
INSTANCE_VARIABLE = "VGPUD_INSTANCE"

SYSTEM_FOLDER = Path("/etc/vgpud")
GENERAL_NAME = "vgpud"
# Names that mean something else in these folders, or in the folder for sockets.
NO_INSTANCES = (".", "..", GENERAL_NAME, MACHINES_NAME)
# What systemd leaves of an instance's name after escaping, less the slash.
INSTANCE_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}")


@frozen
class Files:
    """The files to read, each None if there is none; ``folders`` are where instances' and machines'
    files are.
    """

    general: Path | None
    instance: Path | None
    folders: tuple[Path, ...] = field(default=(), eq=False)


def find_files(
    config: str | None, instance: str | None, environment: Mapping[str, str], superuser: bool
) -> Files:
    """The files that exist on the search path.

    `config` is a file that must exist, and the instance's file is then looked for beside it.
    Otherwise the folders are tried in turn: for users other than root their own, then the system's.
    There may be no file at all.
    """
    folders = [Path(config).parent] if config else _folders(environment, superuser)
    general = Path(config) if config else _first(folders, GENERAL_NAME)
    if instance is None:
        return Files(general, None, tuple(folders))
    if not INSTANCE_NAME.fullmatch(instance) or instance in NO_INSTANCES:
        raise ConfigurationError(f'--instance: "{instance}" cannot be the name of an instance')
    return Files(general, _first(folders, instance), tuple(folders))


def _folders(environment: Mapping[str, str], superuser: bool) -> list[Path]:
    if superuser:
        return [SYSTEM_FOLDER]
    # XDG Base Directory Specification: a relative path must be ignored.
    own = Path(environment.get("XDG_CONFIG_HOME", ""))
    if not own.is_absolute():
        own = Path(environment.get("HOME", "/")) / ".config"
    return [own / "vgpud", SYSTEM_FOLDER]


def _first(folders: list[Path], name: str) -> Path | None:
    files = (folder / f"{name}.toml" for folder in folders)
    return next((file for file in files if os.path.lexists(file)), None)
