# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The session process, forked by the spawner for one front-end: its links, and how they are
used.
"""

import os
import socket
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import trio
from loguru import logger

from vgpud.config.machine_files import find_machine_file, read_machine_file
from vgpud.config.plain import from_plain
from vgpud.config.schema import Config
from vgpud.errors import EXIT_OK, ConfigurationError, RendererError
from vgpud.link.credentials import peer_of
from vgpud.session import logs
from vgpud.session.confinement import confine
from vgpud.session.daemon_link import DaemonLink
from vgpud.session.devices import SpawnedDevices
from vgpud.session.machine_name import learn_name
from vgpud.session.meeting import listen_for_daemons, meet_daemons
from vgpud.session.orders import Orders
from vgpud.session.session import serve_frontend
from vgpud.session.trial import try_renderer
from vgpud.session.turned_away import discard
from vgpud.tree.messages import NotTried, StartSession, Tried
from vgpud.tree.process import take_short_turns


class Ends(NamedTuple):
    """The descriptors that a session starts with.  The spawner keeps ``device_log``."""

    orders: int
    reports: int
    log: int
    device_log: int
    meeting: int | None
    frontend: int | None
    grants: int
    wishes: int

    @classmethod
    def of(cls, start: StartSession, descriptors: list[int]) -> Self:
        """In StartSession's order, followed by grants and wishes."""
        given = iter(descriptors)
        orders, reports, log, device_log = (next(given) for _ in range(4))
        meeting = next(given) if start.meets else None
        frontend = next(given) if start.frontend else None
        grants, wishes = given
        return cls(orders, reports, log, device_log, meeting, frontend, grants, wishes)

    def kept(self) -> list[int]:
        """Those that the session keeps."""
        ends = (self.orders, self.reports, self.meeting, self.frontend, self.grants, self.wishes)
        return [end for end in ends if end is not None]


@lru_cache(maxsize=1)
def configure(plain: str) -> Config:
    """Called by the spawner before it forks, and only once for each configuration: its results,
    also the set-up of the log, are in pages that sessions share.
    """
    config = from_plain(plain)
    logs.set_up(config.log.level)
    return config


def main(start: StartSession, config: Config, ends: Ends) -> int:
    """The process's exit status."""
    take_short_turns()
    if start.refusal and ends.frontend is not None:
        confine()
        discard(socket.socket(fileno=ends.frontend))
        return EXIT_OK
    name = ""
    if ends.frontend is not None:
        name = learn_name(ends.frontend) or start.called
        config = _own(config, name, start.folders)
    return trio.run(_main, config, ends, name)


def _own(config: Config, name: str, folders: Sequence[str]) -> Config:
    """The configuration with the machine's own file; a file with mistakes is not used, and the log
    lists them.
    """
    path = find_machine_file(map(Path, folders), name)
    if path is None:
        return config
    try:
        own = read_machine_file(path, config)
    except ConfigurationError as error:
        for mistake in error.mistakes:
            logger.error("the machine's own file is not used: {}", mistake)
        return config
    logger.info("configuration {}", path)
    return own


async def _main(config: Config, ends: Ends, name: str) -> int:
    async with trio.open_nursery() as nursery:
        devices = SpawnedDevices(nursery)
        devices.use(socket.socket(fileno=ends.grants), ends.wishes)
        daemon = DaemonLink(nursery, time.monotonic(), _user(ends.frontend), name)
        orders = Orders(nursery, daemon, devices)
        daemon.use(socket.socket(fileno=ends.orders), ends.reports, orders.carry_out)
        if ends.meeting is not None:
            listening = listen_for_daemons(ends.meeting)
            nursery.start_soon(meet_daemons, listening, daemon, orders)
        status = EXIT_OK
        with orders.life:
            status = await _work(config, ends, devices, daemon, orders)
        await daemon.flush()
        nursery.cancel_scope.cancel()
    return status


def _user(frontend: int | None) -> int:
    """The user that the machine belongs to; our own if there is no machine."""
    if frontend is None:
        return os.geteuid()
    with socket.socket(fileno=os.dup(frontend)) as connection:
        return peer_of(connection).user


async def _work(
    config: Config, ends: Ends, devices: SpawnedDevices, daemon: DaemonLink, orders: Orders
) -> int:
    try:
        if ends.frontend is None:
            confine()
            daemon.report(Tried(await try_renderer(config, devices)))
        else:
            end = trio.socket.from_stdlib_socket(socket.socket(fileno=ends.frontend))
            await serve_frontend(end, config, devices, orders.about, daemon.say_hello, confine)
    except RendererError as error:
        daemon.report(NotTried(str(error), error.exit_code))
        return error.exit_code
    return EXIT_OK
