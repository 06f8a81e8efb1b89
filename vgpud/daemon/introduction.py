# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The first lines of a daemon's log: what it is, where it listens, and which files configure it."""

from loguru import logger

from vgpud import __version__
from vgpud.config.load import Loaded
from vgpud.config.schema import Socket


def introduce(loaded: Loaded) -> None:
    """One line, and one more for each probable mistake."""
    config = loaded.config
    files = ", ".join(map(str, loaded.files))
    logger.info(
        "vgpud {}: mode {}, {}, {}",
        __version__,
        config.renderer.mode,
        _place(config.socket),
        f"configuration {files}" if files else "no configuration file",
    )
    warn(loaded)


def warn(loaded: Loaded) -> None:
    """A line for each probable mistake."""
    for doubt in loaded.doubts:
        logger.warning("{}", doubt)


def _place(socket: Socket) -> str:
    if socket.path is None:
        return f"descriptor {socket.fd}"
    return f"socket {socket.path}" + (" (of the service manager)" if socket.fd is not None else "")
