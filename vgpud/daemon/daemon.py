# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The outermost nursery: signals, and front-ends that connect."""

import os
import signal
import socket

import trio
from loguru import logger

from vgpud.config.schema import Config
from vgpud.daemon import logs
from vgpud.daemon.client_requests import Commands
from vgpud.daemon.control_socket import ControlSocket
from vgpud.daemon.folder import Folder
from vgpud.daemon.introduction import introduce
from vgpud.daemon.listener import Listener, group_of
from vgpud.daemon.log_shares import LogShares
from vgpud.daemon.machine import Machine
from vgpud.daemon.machines import Machines
from vgpud.daemon.newcomers import Newcomers
from vgpud.daemon.notify import ServiceManager
from vgpud.daemon.own_control import open_own_control
from vgpud.daemon.reload import Current
from vgpud.daemon.spawner import Process, fork_process
from vgpud.daemon.viewers import Viewers
from vgpud.errors import EXIT_INTERNAL, EXIT_OK, RendererError
from vgpud.tree.keyboard import Typed
from vgpud.tree.messages import NotTried, Tried
from vgpud.tree.process import adopt_orphans, allow_many_descriptors, name_process
from vgpud.walls import apparmor, missing

TRIAL_SECONDS = 40.0


class Sockets:
    """What the daemon serves on; ``folder`` is where its sessions listen for the next daemon, ``view`` where viewers connect."""

    def __init__(
        self,
        main: Listener,
        control: Listener | None,
        folder: Folder | None,
        view: Listener | None = None,
    ) -> None:
        self.main = main
        self.control = control
        self.folder = folder
        self.view = view


def run(
    current: Current, sockets: Sockets, manager: ServiceManager, layout: tuple[Typed, ...]
) -> int:
    """Returns the program's exit status.  ``layout`` is the keyboard on which viewers type."""
    # Before anything else: what this process opens and starts later must not be in the spawner.
    first = fork_process()
    name_process("vgpud")
    logs.set_up(current.config.log)
    introduce(current.loaded)
    for door in missing(apparmor.confine, "daemon"):
        logger.warning("the daemon is not confined in full: {}", door)
    allow_many_descriptors()
    adopt_orphans()
    try:
        return trio.run(_main, current, sockets, manager, first, layout)
    finally:
        manager.stopping()


async def _main(
    current: Current,
    sockets: Sockets,
    manager: ServiceManager,
    first: Process,
    layout: tuple[Typed, ...],
) -> int:
    shares = LogShares()
    machines = Machines(first, sockets.folder, manager.serving, shares)
    current.on_log_level = machines.set_log_level
    machines.folders = current.loaded.folders
    machines.called = lambda config: config.machine.name or current.instance or ""
    status = EXIT_OK
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as everything:
            await nursery.start(_watch_signals, everything, current, manager)
            await nursery.start(machines.run)
            nursery.start_soon(shares.run)
            if sockets.view is not None:
                several = sockets.main.listening
                viewers = Viewers(current.config, sockets.view, machines, several, layout)
                nursery.start_soon(viewers.run)
            newcomers = Newcomers(current, machines, shares)
            status = await _serve(current, sockets, machines, newcomers, manager)
        with trio.CancelScope(shield=True):
            await machines.stop()
        nursery.cancel_scope.cancel()
    return status


async def _serve(
    current: Current,
    sockets: Sockets,
    machines: Machines,
    newcomers: Newcomers,
    manager: ServiceManager,
) -> int:
    await machines.spawner.ready()
    if not sockets.main.listening:
        return await _serve_one(sockets.main.end, current, machines, newcomers)
    await machines.meet(current.config)
    try:
        await _announce(current.config, machines, manager)
    except RendererError as error:
        logger.error("{}", error)
        return error.exit_code
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_show_life, manager)
        path = current.config.socket.path
        if sockets.control is not None and path is not None:
            commands = Commands(current, machines, newcomers, path)
            answering = ControlSocket(commands, group_of(current.config.socket))
            nursery.start_soon(answering.run, trio.socket.from_stdlib_socket(sockets.control.end))
        await newcomers.accept(sockets.main.end)
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


async def _announce(config: Config, machines: Machines, manager: ServiceManager) -> None:
    """Tells the service manager that we are ready, once that is true; ``RendererError`` when it
    never will be.
    """
    if manager:
        manager.ready(await _try_renderer(config, machines))


async def _try_renderer(config: Config, machines: Machines) -> str:
    """What the renderer calls itself, from a session that serves nobody."""
    trial = machines.try_renderer(config)
    with trio.move_on_after(TRIAL_SECONDS):
        await trial.ended.wait()
    if isinstance(trial.tried, Tried):
        return trial.tried.description
    trial.kill()
    if isinstance(trial.tried, NotTried):
        raise RendererError(trial.tried.reason, trial.tried.exit_code)
    raise RendererError(f"the renderer was not tried: its process ended with {trial.ending}")


async def _show_life(manager: ServiceManager) -> None:
    """Sends signs of life as long as the event loop runs.  A session that hangs is no reason to
    restart the daemon.
    """
    if manager.watchdog_seconds is None:
        return
    while True:
        manager.alive()
        # Half of the time, as sd_watchdog_enabled(3) recommends.
        await trio.sleep(manager.watchdog_seconds / 2)


async def _answer_for(
    machine: Machine, current: Current, machines: Machines, newcomers: Newcomers
) -> None:
    """Serves a control socket that has the machine's name, once that is known; never returns if
    there is one.
    """
    await machine.greeted.wait()
    options = current.config.socket
    name = machine.called or f"process-{machine.sender}"
    control = open_own_control(name, options, os.environ)
    if control is None:
        return
    logger.info("control socket of {}", control.path)
    commands = Commands(current, machines, newcomers, control.path)
    try:
        answering = ControlSocket(commands, group_of(options))
        await answering.run(trio.socket.from_stdlib_socket(control.listener.end))
    finally:
        control.listener.close()


async def _serve_one(
    end: socket.socket, current: Current, machines: Machines, newcomers: Newcomers
) -> int:
    """The front-end that this program was started for."""
    machine = machines.serve_only(end, current.config)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_answer_for, machine, current, machines, newcomers)
        await machine.ended.wait()
        nursery.cancel_scope.cancel()
    ending = machine.ending
    return EXIT_INTERNAL if ending is None or ending.signal else ending.code
