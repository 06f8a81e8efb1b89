# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The daemon: holds every socket to virtual machine monitors, and draws nothing."""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import NoReturn

from vgpud.config.schema import Config
from vgpud.daemon.listener import open_control_listener, open_listener
from vgpud.daemon.notify import ServiceManager
from vgpud.errors import EXIT_OK


def serve(config: Config, instance: str | None, read: Callable[[], Config]) -> int:
    """Serves front-ends until SIGTERM or SIGINT, or until the one that was given has left; the
    exit status.  ``ConfigurationError`` when the socket cannot be had.

    ``instance`` is named in each line of the log; ``read`` gives the configuration anew.
    """
    manager = ServiceManager.take(os.environ)
    # Until the event loop receives them itself, these end the program like any error would: with
    # the socket files removed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    with ExitStack() as owned:
        listener = open_listener(config.socket)
        owned.callback(listener.close)
        control = open_control_listener(config.socket)
        if control is not None:
            owned.callback(control.close)
        if not listener.listening:
            # Started by a front-end for itself (libvirt does): the service manager that it leaves in
            # the environment is its own, and would be told of a service that it does not have.
            manager = ServiceManager()
        # Now that a front-end can connect, there is time for the event loop and the logger.
        from vgpud.daemon import logs
        from vgpud.daemon.daemon import run
        from vgpud.daemon.reload import Current

        logs.name_instance(instance)
        return run(Current(config, read), listener, control, manager)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(EXIT_OK)
