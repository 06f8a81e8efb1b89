# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The outermost nursery: signals, and front-ends as they come."""

import itertools
import resource
import signal
import socket
from struct import Struct

import trio
from loguru import logger

from vgpud.config.schema import Config
from vgpud.daemon import logs
from vgpud.daemon.control_socket import ControlSocket
from vgpud.daemon.listener import Listener, group_of
from vgpud.daemon.machines import Machines
from vgpud.daemon.session import serve_frontend
from vgpud.errors import EXIT_OK, RendererError

_PEER = Struct("3i")  # struct ucred: process, user, group
# When descriptors or memory have run out, trying again at once would only burn time.
ACCEPT_AGAIN_SECONDS = 0.5


def run(config: Config, listener: Listener, control: Listener | None) -> int:
    """Returns the program's exit status."""
    logs.set_up(config.log)
    _allow_many_descriptors()
    return trio.run(_main, config, listener, control)


async def _main(config: Config, listener: Listener, control: Listener | None) -> int:
    machines = Machines()
    with trio.CancelScope() as everything:
        async with trio.open_nursery() as nursery:
            await nursery.start(_watch_signals, everything)
            if control is not None:
                answering = ControlSocket(config, machines, group_of(config.socket))
                nursery.start_soon(answering.run, trio.socket.from_stdlib_socket(control.end))
            end = trio.socket.from_stdlib_socket(listener.end)
            if listener.listening:
                await _accept(end, config, machines, nursery)
            status = await _serve_one(end, config, machines)
            everything.cancel()
            return status
    return EXIT_OK


async def _watch_signals(
    everything: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number != signal.SIGHUP:
                logger.info("{}: the end", signal.Signals(number).name)
                everything.cancel()
                return
            logger.info("SIGHUP: the configuration is read at the start alone")


async def _accept(
    end: trio.socket.SocketType, config: Config, machines: Machines, nursery: trio.Nursery
) -> None:
    """Never returns."""
    logger.info("waiting for front-ends")
    for number in itertools.count(1):
        frontend = await _next(end)
        name = f"{number}, process {_peer(frontend)}"
        nursery.start_soon(_serve_any, frontend, config, machines, name)


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
    end: trio.socket.SocketType, config: Config, machines: Machines, name: str
) -> None:
    """The next one may have more luck."""
    try:
        await serve_frontend(end, config, machines, name)
    except RendererError:
        return


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
