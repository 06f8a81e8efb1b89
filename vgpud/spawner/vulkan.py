# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Render servers and their workers: forked, and ended, whatever they hang in."""

import os
from contextlib import suppress
from functools import partial

from vgpud.device import render_server
from vgpud.spawner.children import Child, fork
from vgpud.spawner.machine import Machine
from vgpud.tree.messages import RENDER_SERVER
from vgpud.tree.process import (
    children_of,
    end_group,
    kill,
    name_of,
    reap_group,
    status_fields,
)

PARENT = 1
"""Its position among the fields after the name."""


def fork_server(machine: Machine, end: int, life: int) -> Child | None:
    """A render server with these ends; None where it is not installed, ``OSError`` when there cannot be one."""
    program = render_server.find()
    if program is None:
        return None
    config = machine.config
    gpu_device = str(config.renderer.gpu_device or "")
    server = render_server.Server(program, gpu_device, config.limits.vulkan_memory)
    work = partial(render_server.execute, server, end, life)
    return fork(machine.number, RENDER_SERVER, machine.log, (end, life), work)


def end_server(server: Child) -> None:
    """Kills a server and its workers: they are a process group once it has started."""
    kill(server.pidfd)
    end_group(server.pid)


def end_worker(server: Child, ctx_id: int) -> None:
    """Kills the worker of a context, which is found by its name.  If none has that name (a guest
    that has taken one over may change it), kills all of them.
    """
    workers = children_of(server.pid)
    # The library prints numbers with a sign.
    prefix = f"virgl-{ctx_id - (ctx_id >> 31 << 32)}-"
    for pid in [pid for pid in workers if _name(pid).startswith(prefix)] or workers:
        _kill_child(server.pid, pid)
    if not workers:
        end_server(server)


def _name(pid: int) -> str:
    try:
        return name_of(pid)
    except OSError:
        return ""


def _kill_child(parent: int, pid: int) -> None:
    """Kills a process if it is still that parent's child: its number may have been used again."""
    with suppress(OSError, IndexError):
        pidfd = os.pidfd_open(pid)
        try:
            if status_fields(pid)[PARENT] == str(parent):
                kill(pidfd)
        finally:
            os.close(pidfd)


class Groups:
    """Process groups of servers that have ended, whose workers are now children of this process."""

    def __init__(self) -> None:
        self._ending: set[int] = set()

    def add(self, group: int) -> None:
        end_group(group)
        self._ending.add(group)

    def reap(self) -> bool:
        """Reaps them; whether some have not ended yet."""
        self._ending = {group for group in self._ending if not reap_group(group)}
        return bool(self._ending)
