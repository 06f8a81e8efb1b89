# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The control socket of a daemon that was started for one machine, as libvirt does it.  Such a
daemon's own socket has no path, so the control socket is named after the machine, in a folder for
such daemons.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from loguru import logger

from vgpud.config.machine_files import file_name
from vgpud.config.runtime import (
    MACHINES_NAME,
    SYSTEM_RUNTIME,
    make_runtime_folder,
    runtime_folder,
)
from vgpud.config.schema import Socket
from vgpud.control.protocol import SUFFIX
from vgpud.daemon.listener import Listener, listen_for_control
from vgpud.daemon.stale import sweep
from vgpud.errors import ConfigurationError

# How many machines may have the same name, for example those of another user, or in and outside
# libvirt.
SAME_NAME_MAX = 9


class OwnControl(NamedTuple):
    """``path`` is for ``vgpuctl --socket-path``; there is no socket of exactly that name."""

    listener: Listener
    path: Path


def open_own_control(
    name: str, options: Socket, environment: Mapping[str, str]
) -> OwnControl | None:
    """None when there is no place for it, which the log says: the machine is still served."""
    folder = machines_folder(environment, os.geteuid())
    if folder is None:
        logger.info("no control socket: there is no folder for it")
        return None
    # Nobody else would remove those of machines that are not started again.
    sweep(folder, lambda left: left.endswith(SUFFIX))
    reason = ""
    for path in _paths(folder, file_name(name)):
        try:
            return OwnControl(listen_for_control(path, options), path)
        except ConfigurationError as error:
            reason = str(error)
    logger.warning("no control socket: {}", reason)
    return None


def _paths(folder: Path, name: str) -> Iterator[Path]:
    yield folder / name
    for number in range(2, SAME_NAME_MAX + 1):
        yield folder / f"{name},{number}"


def machines_folder(environment: Mapping[str, str], user: int) -> Path | None:
    """The system's folder if this user may write there, otherwise the user's own, which is made."""
    shared = SYSTEM_RUNTIME / MACHINES_NAME
    if os.access(shared, os.W_OK | os.X_OK):
        return shared
    runtime = runtime_folder(environment, user)
    if runtime is None:
        return None
    with suppress(OSError):
        make_runtime_folder(runtime / MACHINES_NAME, user)
        return runtime / MACHINES_NAME
    return None
