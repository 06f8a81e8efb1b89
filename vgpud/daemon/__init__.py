# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The daemon: listens for virtual machine monitors, and touches nothing that one of them gave."""

import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import NoReturn

from vgpud.config.load import Loaded
from vgpud.daemon.listener import (
    Listener,
    open_control_listener,
    open_listener,
    open_meeting_folder,
    open_view_listener,
)
from vgpud.daemon.notify import ServiceManager
from vgpud.daemon.qemu_line import say_qemu_line
from vgpud.errors import EXIT_OK
from vgpud.tree.keyboard import Typed
from vgpud.without_asyncio import import_loguru
from vgpud.without_ldconfig import import_trio

STANDARD_ERROR = 2


def serve(
    loaded: Loaded,
    instance: str | None,
    read: Callable[[], Loaded],
    bare: bool = False,
    layout: tuple[Typed, ...] = (),
) -> int:
    """Serves front-ends until SIGTERM or SIGINT, or until the only one has left; returns the exit
    status.  ``ConfigurationError`` when there can be no socket.

    ``instance`` is named in each line of the log; ``read`` reads the configuration again.
    ``bare``: the user has named no socket, and is told how a machine finds it.  ``layout`` is the
    keyboard on which viewers type.
    """
    config = loaded.config
    manager = ServiceManager.take(os.environ)
    # Until the event loop receives these signals, they end the program like an error: with the
    # socket files removed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    # Nothing is served yet, so there is nothing to reload.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _fill_standard_streams()
    with ExitStack() as owned:
        listener = open_listener(config.socket)
        owned.callback(listener.close)
        control = open_control_listener(config.socket)
        if control is not None:
            owned.callback(control.close)
        folder = open_meeting_folder(config.socket, owned)
        view = open_view_listener(config)
        if view is not None:
            owned.callback(view.close)
        if not listener.listening:
            # Started for one front-end, by libvirt for example: the service manager in the
            # environment is that of libvirt, and must not be told of our service.
            manager = ServiceManager()
            _wait_for_word(listener)
        if config.socket.path is not None and (bare or _at_terminal()):
            say_qemu_line(config.socket.path)
        # Now that a front-end can connect, there is time for the event loop and the logger.
        import_loguru()
        import_trio()
        from vgpud.daemon import logs
        from vgpud.daemon.daemon import Sockets, run
        from vgpud.daemon.reload import Current

        logs.name_instance(instance)
        current = Current(loaded, read, instance)
        return run(current, Sockets(listener, control, folder, view), manager, layout)


def _at_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _wait_for_word(connected: Listener) -> None:
    """Waits until the front-end sends something, or leaves: by then whoever has started us has put
    this process where its children must be too, such as into the machine's cgroup.
    """
    looking = select.poll()
    looking.register(connected.end, select.POLLIN)
    looking.poll()


def _fill_standard_streams() -> None:
    """Opens standard streams that are closed: otherwise the next descriptor would be taken for
    one.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(EXIT_OK)
