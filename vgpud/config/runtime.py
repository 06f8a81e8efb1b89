# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Where sockets are by default: the host's folder for root, each user's own for all others."""

from collections.abc import Mapping
from pathlib import Path

SYSTEM_RUNTIME = Path("/run/vgpud")
USERS = Path("/run/user")
FOLDER_NAME = "vgpud"
SOCKET_NAME = "vgpud.sock"
ADDRESS_BYTES = 108
"""Room for a path in struct sockaddr_un."""
PATH_BYTES_MAX = ADDRESS_BYTES - 1
"""A null character ends it."""
MACHINES_NAME = "machines"
"""The folder for daemons that serve one machine each, beside the sockets of all others."""


def runtime_folder(environment: Mapping[str, str], user: int) -> Path | None:
    """The folder for that user's sockets; None when there is no place for it.  It may not exist
    yet.
    """
    if user == 0:
        return SYSTEM_RUNTIME
    # XDG Base Directory Specification: it must belong to the user, and a relative path must be
    # ignored.
    for place in (Path(environment.get("XDG_RUNTIME_DIR", "")), USERS / str(user)):
        if place.is_absolute() and _is_of(place, user):
            return place / FOLDER_NAME
    return None


def default_socket(
    environment: Mapping[str, str], user: int, instance: str | None = None
) -> Path | None:
    """The default socket of a daemon, as in the units: an instance's is in a folder of the
    instance's own.
    """
    folder = runtime_folder(environment, user)
    return folder and folder / (instance or "") / SOCKET_NAME


def _is_of(place: Path, user: int) -> bool:
    try:
        return place.is_dir() and place.stat().st_uid == user
    except OSError:
        return False


def make_runtime_folder(folder: Path, user: int) -> None:
    """Makes the folder of a default socket, and those above it up to the runtime folder;
    ``OSError``.
    """
    # Root's folder is for the whole host: whoever may use a socket in it must be able to reach it.
    folder.mkdir(0o755 if user == 0 else 0o700, parents=True, exist_ok=True)
