# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The daemon: holds every socket to virtual machine monitors, and draws nothing."""

from vgpud.config.schema import Config
from vgpud.daemon.listener import open_listener


def serve(config: Config) -> int:
    """Serves front-ends until SIGTERM or SIGINT, or until the one that was given has left; the
    exit status.  ``ConfigurationError`` when the socket cannot be had.
    """
    listener = open_listener(config.socket)
    try:
        # Now that a front-end can connect, there is time for the event loop and the logger.
        from vgpud.daemon.daemon import run

        return run(config, listener)
    finally:
        listener.close()
