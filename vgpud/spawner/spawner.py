# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The loop of the spawner: orders of the daemon, wishes of sessions, ends of children."""

import errno
import os
import select
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from vgpud.device import process as device
from vgpud.device import render_server
from vgpud.errors import EXIT_OK
from vgpud.link import rights
from vgpud.session import process as session
from vgpud.spawner.children import Child, fork
from vgpud.spawner.machine import Machine
from vgpud.spawner.out_of_memory import OutOfMemoryKills
from vgpud.spawner.vulkan import Groups, end_server, end_worker, fork_server
from vgpud.tree import codec
from vgpud.tree.links import BELL_BYTES, NewLinks
from vgpud.tree.messages import (
    DEVICE,
    RENDER_SERVER,
    SESSION,
    TO_SPAWNER,
    VIEW,
    AdoptSession,
    DeviceEnded,
    DeviceNotStarted,
    DeviceStarted,
    Ended,
    Forked,
    NotForked,
    Ping,
    Pong,
    ServerEnded,
    ServerNotStarted,
    ServerStarted,
    StartSession,
    Stop,
    ViewNotStarted,
    ViewStarted,
)
from vgpud.tree.process import adopt_orphans, kill, leave_job, name_process, reap
from vgpud.tree.wishes import (
    WISH_DEVICE,
    WISH_END,
    WISH_END_VIEWS,
    WISH_SERVER,
    WISH_SERVER_END,
    WISH_VIEW,
    WISH_VULKAN,
    WISH_WORKER_END,
)
from vgpud.view import process as view

WISHES_AT_ONCE = 16
# The most that is kept for a daemon that does not read.
REPORTS_BYTES_MAX = 1 << 20
# Until workers are reaped that were killed with their server.
ORPHANS_MILLISECONDS = 20


def serve_forked(orders: int, reports: int) -> int:
    """As ``serve``, in a process that the daemon has forked once it was prepared."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    return serve(orders, reports)


def serve(orders: int, reports: int) -> int:
    """Serves a daemon until it sends Stop, or until it and the last child have gone; returns the
    exit status.
    """
    name_process("vgpud-spawner")
    leave_job()
    # For the workers of a render server that has died.
    adopt_orphans()
    spawner = Spawner(socket.socket(fileno=orders), reports)
    while spawner.needed:
        spawner.work()
    return EXIT_OK


class Spawner:
    """What one machine's processes ask for delays the others by the time of a fork at most."""

    def __init__(self, orders: socket.socket, reports: int) -> None:
        self._orders: socket.socket | None = orders
        self._reports = reports
        self._unreported = b""
        self._machines: dict[int, Machine] = {}
        self._children: dict[int, Child] = {}  # by their pidfd
        self._groups = Groups()
        self._ready: dict[int, Callable[[], None]] = {}
        self._kills = OutOfMemoryKills()
        self._poll = select.poll()
        self._granted: dict[bytes, Callable[[Machine], None]] = {
            WISH_DEVICE: self._start_device,
            WISH_VULKAN: self._start_device_for_vulkan,
            WISH_SERVER: self._start_server,
            WISH_END: self._end_device,
            WISH_SERVER_END: self._end_server,
            WISH_VIEW: self._start_view,
            WISH_END_VIEWS: self._end_views,
        }
        self._watch(orders.fileno(), partial(self._take_order, orders))

    @property
    def needed(self) -> bool:
        return self._orders is not None or bool(self._children)

    def work(self) -> None:
        """Waits until there is something to do, and does it."""
        self._flush()
        for descriptor, _ in self._poll.poll(ORPHANS_MILLISECONDS if self._groups.reap() else None):
            # An earlier one in the list may have removed it.
            if handler := self._ready.get(descriptor):
                handler()

    def _watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        self._ready[descriptor] = handler
        self._poll.register(descriptor, select.POLLIN)

    def _unwatch(self, descriptor: int) -> None:
        del self._ready[descriptor]
        self._poll.unregister(descriptor)

    # --- the daemon

    def _take_order(self, orders: socket.socket) -> None:
        try:
            received = codec.receive(orders, TO_SPAWNER)
        except BlockingIOError:
            return
        except ConnectionResetError:
            received = None
        if received is None:
            self._lose_daemon(orders)
            return
        message, descriptors = received
        try:
            self._carry_out(message, descriptors)
        finally:
            rights.close(descriptors)

    def _carry_out(self, message: Any, descriptors: list[int]) -> None:
        if isinstance(message, StartSession):
            self._start_session(message, descriptors)
        elif isinstance(message, AdoptSession):
            config = session.configure(message.config)
            grants, wishes, log = descriptors
            descriptors.clear()
            orders = socket.socket(fileno=grants)
            self._add_machine(Machine(message.machine, config, orders, wishes, log))
        elif isinstance(message, Ping):
            self._report(Pong(message.serial))
        elif isinstance(message, Stop):
            self._stop()

    def _lose_daemon(self, orders: socket.socket) -> None:
        """Sessions go on without the daemon, and may want another device process."""
        self._unwatch(orders.fileno())
        orders.close()
        self._orders = None
        os.close(self._reports)

    def _stop(self) -> None:
        for child in self._children.values():
            if child.kind == RENDER_SERVER:
                end_server(child)
            kill(child.pidfd)
        # A child that cannot be killed, since it hangs in a file, is not waited for.
        os._exit(EXIT_OK)

    def _report(self, message: Any) -> None:
        if self._orders is not None and len(self._unreported) < REPORTS_BYTES_MAX:
            self._unreported += codec.encode(message)
            self._flush()

    def _flush(self) -> None:
        """Sends as much as the daemon takes now; the rest when it sends something, or a child
        ends.
        """
        if not self._unreported or self._orders is None:
            return
        try:
            written = os.write(self._reports, self._unreported)
        except (BlockingIOError, BrokenPipeError):
            return
        self._unreported = self._unreported[written:]

    # --- sessions

    def _start_session(self, message: StartSession, descriptors: list[int]) -> None:
        try:
            with NewLinks() as links:
                grants, their_grants = links.orders()
                wishes, their_wishes = links.reports(BELL_BYTES)
                ends = session.Ends.of(message, [*descriptors, their_grants, their_wishes])
                config = session.configure(message.config)
                work = partial(session.main, message, config, ends)
                child = fork(message.machine, SESSION, ends.log, ends.kept(), work)
                log = os.dup(ends.device_log)
        except OSError as error:
            self._report(NotForked(message.machine, SESSION, error.errno or 0))
            return
        self._add_child(child)
        self._add_machine(Machine(message.machine, config, grants, wishes, log))

    def _add_machine(self, machine: Machine) -> None:
        self._machines[machine.number] = machine
        self._watch(machine.wishes, partial(self._take_wishes, machine))

    def _take_wishes(self, machine: Machine) -> None:
        try:
            wishes = os.read(machine.wishes, WISHES_AT_ONCE)
        except BlockingIOError:
            return
        if not wishes:
            self._remove_machine(machine)
            return
        for wish, number in machine.words.feed(wishes):
            if grant := self._granted.get(wish):
                grant(machine)
            elif wish == WISH_WORKER_END and machine.server is not None:
                end_worker(machine.server, number)

    def _remove_machine(self, machine: Machine) -> None:
        """Forgets a machine whose session has ended."""
        self._end_device(machine)
        self._end_server(machine)
        self._end_views(machine)
        self._unwatch(machine.wishes)
        machine.close()
        del self._machines[machine.number]

    # --- device processes

    def _start_device(self, machine: Machine, vulkan: bool = False) -> None:
        refused = machine.refusal()
        if refused:
            machine.grant(DeviceNotStarted(refused))
            return
        try:
            with NewLinks() as links:
                links.keep_nothing()
                server = self._make_socket(machine, links) if vulkan else -1
                ours, theirs = links.link()
                life, their_life = links.reports(BELL_BYTES)
                work = partial(device.main, theirs, life, server)
                kept = [end for end in (theirs, life, server) if end >= 0]
                machine.device = fork(machine.number, DEVICE, machine.log, kept, work)
                machine.grant(DeviceStarted(machine.device.pid), [ours, their_life])
        except OSError as error:
            machine.drop_server_end()
            machine.grant(DeviceNotStarted(error.errno or 0))
            self._report(NotForked(machine.number, DEVICE, error.errno or 0))
        else:
            self._add_child(machine.device)

    def _start_device_for_vulkan(self, machine: Machine) -> None:
        self._start_device(machine, vulkan=True)

    def _make_socket(self, machine: Machine, links: NewLinks) -> int:
        """The device process's end of a render server's socket, whose other end waits for the
        server; -1 if none is installed.
        """
        if render_server.find() is None:
            return -1
        library, end = links.pair()
        machine.server_end = os.dup(end)
        return library

    def _start_server(self, machine: Machine) -> None:
        if machine.device is None:
            return  # its session sees the end
        error = self._fork_server(machine)
        if error:
            machine.grant(ServerNotStarted(machine.device.pid, error))

    def _fork_server(self, machine: Machine) -> int:
        """Starts it, at most once; 0, or an errno."""
        end = machine.take_server_end()
        if machine.device is None or end < 0:
            return errno.ENOENT
        try:
            with NewLinks() as links:
                links.keep_nothing()
                life, their_life = links.reports(BELL_BYTES)
                machine.server = fork_server(machine, end, life)
                if machine.server is None:
                    return errno.ENOENT
                started = ServerStarted(machine.device.pid, machine.server.pid)
                machine.grant(started, [their_life])
        except OSError as error:
            self._report(NotForked(machine.number, RENDER_SERVER, error.errno or 0))
            return error.errno or errno.EIO
        finally:
            os.close(end)
        self._add_child(machine.server)
        return 0

    def _end_server(self, machine: Machine) -> None:
        if machine.server is not None:
            end_server(machine.server)

    def _end_device(self, machine: Machine) -> None:
        if machine.device is not None:
            kill(machine.device.pidfd)

    # --- view processes

    def _start_view(self, machine: Machine) -> None:
        refused = machine.view_refusal()
        if refused:
            machine.grant(ViewNotStarted(refused))
            return
        try:
            with NewLinks() as links:
                ours, theirs = links.view_channel()
                life, their_life = links.reports(BELL_BYTES)
                links.keep_nothing()
                work = partial(view.main, theirs, life)
                child = fork(machine.number, VIEW, machine.log, (theirs, life), work)
                machine.views.add(child)
                machine.grant(ViewStarted(child.pid), [ours, their_life])
        except OSError as error:
            machine.grant(ViewNotStarted(error.errno or 0))
            self._report(NotForked(machine.number, VIEW, error.errno or 0))
        else:
            self._add_child(child)

    def _end_views(self, machine: Machine) -> None:
        for child in machine.views:
            kill(child.pidfd)

    # --- children

    def _add_child(self, child: Child) -> None:
        self._children[child.pidfd] = child
        self._watch(child.pidfd, partial(self._reap, child))
        self._report(Forked(child.machine, child.kind, child.pid))

    def _reap(self, child: Child) -> None:
        ending = reap(child.pidfd)
        if ending is None:
            return
        if ending.signal == signal.SIGKILL:
            ending = ending._replace(out_of_memory=self._kills.more())
        self._unwatch(child.pidfd)
        os.close(child.pidfd)
        del self._children[child.pidfd]
        self._report(Ended(child.machine, child.kind, child.pid, *ending))
        if child.kind == RENDER_SERVER:
            self._groups.add(child.pid)
        machine = self._machines.get(child.machine)
        if machine is None:
            return
        machine.views.discard(child)
        if machine.server is child:
            machine.server = None
            machine.grant(ServerEnded(child.pid, *ending))
        if machine.device is child:
            machine.device = None
            machine.grant(DeviceEnded(child.pid, *ending))
            self._end_server(machine)
            machine.server = None
            machine.drop_server_end()
