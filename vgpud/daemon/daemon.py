# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The outermost nursery: signals, and front-ends as they come."""

import itertools
import resource
import signal
import socket
from contextlib import suppress
from struct import Struct

import trio
from loguru import logger

from vgpud.config.schema import Config
from vgpud.daemon import logs
from vgpud.daemon.control_commands import Commands
from vgpud.daemon.control_socket import ControlSocket
from vgpud.daemon.listener import Listener, group_of
from vgpud.daemon.machines import Machines
from vgpud.daemon.notify import ServiceManager
from vgpud.daemon.reload import Current
from vgpud.errors import EXIT_OK, RendererError
from vgpud.session.session import serve_frontend
from vgpud.session.trial import try_renderer

_PEER = Struct("3i")  # struct ucred: process, user, group
# When descriptors or memory have run out, trying again at once would only burn time.
ACCEPT_AGAIN_SECONDS = 0.5


def run(
    current: Current, listener: Listener, control: Listener | None, manager: ServiceManager
) -> int:
    """Returns the program's exit status."""
    logs.set_up(current.config.log)
    _allow_many_descriptors()
    try:
        return trio.run(_main, current, listener, control, manager)
    finally:
        manager.stopping()


async def _main(
    current: Current, listener: Listener, control: Listener | None, manager: ServiceManager
) -> int:
    machines = Machines()
    config = current.config
    with trio.CancelScope() as everything:
        async with trio.open_nursery() as nursery:
            await nursery.start(_watch_signals, everything, current, manager)
            try:
                await _announce(config, manager)
            except RendererError as error:
                logger.error("{}", error)
                everything.cancel()
                return error.exit_code
            nursery.start_soon(_show_life, manager, machines)
            if control is not None:
                commands = Commands(current, machines)
                answering = ControlSocket(commands, group_of(config.socket))
                nursery.start_soon(answering.run, trio.socket.from_stdlib_socket(control.end))
            end = trio.socket.from_stdlib_socket(listener.end)
            if listener.listening:
                await _accept(end, current, machines, manager, nursery)
            status = await _serve_one(end, config, machines)
            everything.cancel()
            return status
    return EXIT_OK


async def _watch_signals(
    everything: trio.CancelScope,
    current: Current,
    manager: ServiceManager,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number != signal.SIGHUP:
                logger.info("{}: the end", signal.Signals(number).name)
                manager.stopping()
                everything.cancel()
                return
            manager.reloading()
            current.reload()
            manager.reloaded()


async def _announce(config: Config, manager: ServiceManager) -> None:
    """Readiness is claimed when it is true; ``RendererError`` when it never will be."""
    if manager:
        manager.ready(await try_renderer(config))


async def _show_life(manager: ServiceManager, machines: Machines) -> None:
    """Until the supervision of a device process is stuck.  (One that replaces a device process which is
    stuck is not, so that no machine suffers for another.)
    """
    if manager.watchdog_seconds is None:
        return
    while True:
        if machines.supervised():
            manager.alive()
        else:
            logger.error("the supervision of a device process is stuck")
        # Half of it, as sd_watchdog_enabled(3) wants.
        await trio.sleep(manager.watchdog_seconds / 2)


async def _accept(
    end: trio.socket.SocketType,
    current: Current,
    machines: Machines,
    manager: ServiceManager,
    nursery: trio.Nursery,
) -> None:
    """Never returns."""
    logger.info("waiting for front-ends")
    for number in itertools.count(1):
        frontend = await _next(end)
        name = f"{number}, process {_peer(frontend)}"
        nursery.start_soon(_serve_any, frontend, current.config, machines, manager, name)


async def _next(end: trio.socket.SocketType) -> trio.socket.SocketType:
    while True:
        try:
            frontend, _ = await end.accept()
        except OSError as error:
            logger.error("no front-end can be accepted: {}", error)
            await trio.sleep(ACCEPT_AGAIN_SECONDS)
        else:
            return frontend


async def _serve_any(
    end: trio.socket.SocketType,
    config: Config,
    machines: Machines,
    manager: ServiceManager,
    name: str,
) -> None:
    """The next one may have more luck."""
    with manager.serving(name), suppress(RendererError):
        await serve_frontend(end, config, machines, name)


async def _serve_one(end: trio.socket.SocketType, config: Config, machines: Machines) -> int:
    """The front-end that this program was started for."""
    try:
        await serve_frontend(end, config, machines, f"process {_peer(end)}")
    except RendererError as error:
        return error.exit_code
    return EXIT_OK


def _peer(end: trio.socket.SocketType) -> int:
    credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    process_id: int = _PEER.unpack(credentials)[0]
    return process_id


def _allow_many_descriptors() -> None:
    """Each image of each guest is a descriptor: as many as the administrator allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
