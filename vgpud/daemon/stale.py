# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Sockets at which nobody listens any more: the next daemon removes what a killed one has left."""

import errno
import os
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from vgpud.config.runtime import SOCKET_NAME
from vgpud.daemon.folder import Folder
from vgpud.errors import ConfigurationError

# Another daemon may have bound its socket but not listen yet, on a busy host.
FRESH_SECONDS = 5.0


def make_room(folder: Folder, path: Path) -> None:
    """Removes a socket that nobody listens at; ``ConfigurationError`` for any other file."""
    # The path / has no name.
    found = folder.status(path.name or ".")
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(
            f"{path}: this is a folder; name a socket in it, such as {path / SOCKET_NAME}"
        )
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigurationError(f"{path}: exists but is not a socket")
    if not _is_stale(folder, path.name):
        raise ConfigurationError(f"{path}: in use: another program listens there")
    folder.unlink(path.name)


def sweep(place: Path, is_meant: Callable[[str], bool]) -> None:
    """Removes our user's sockets in a folder whose names ``is_meant`` accepts, unless somebody
    listens there, or they have only just been made.
    """
    with suppress(OSError), Folder.open(place) as folder:
        for name in filter(is_meant, folder.names()):
            found = folder.status(name)
            if found is not None and _is_left(found) and _is_stale(folder, name):
                folder.unlink(name)


def _is_left(found: os.stat_result) -> bool:
    ours = stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid()
    return ours and time.time() - found.st_mtime > FRESH_SECONDS


def _is_stale(folder: Folder, name: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A listener whose backlog is full would make us wait.
        probe.setblocking(False)
        try:
            folder.connect(probe, name)
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
    return False
