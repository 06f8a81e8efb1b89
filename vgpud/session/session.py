# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One front-end, from its connection to its end: everything that it owns, in one nursery."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial

import trio
from loguru import logger

from vgpud.config.schema import Config
from vgpud.control.protocol import ControlError
from vgpud.display.headless import Size
from vgpud.display.presenter import Presenter
from vgpud.errors import FrontendError, RendererError, first_error
from vgpud.link import messages
from vgpud.link.limited_log import LimitedLog
from vgpud.link.messages import NO_DISPLAY, DisplaySize
from vgpud.session.backend_channels import BackendChannels
from vgpud.session.control_queue import ControlQueue
from vgpud.session.cursor_queue import CursorQueue
from vgpud.session.cursor_ring import CursorRing
from vgpud.session.devices import Devices
from vgpud.session.displays import Displays
from vgpud.session.frontend import Frontend
from vgpud.session.guest_memory import GuestMemory
from vgpud.session.journal import Journal
from vgpud.session.map_requests import MapRequests
from vgpud.session.reports import Reports
from vgpud.session.session_state import CONTROL_QUEUE, CURSOR_QUEUE, SessionState
from vgpud.session.shared_memory import SharedMemory
from vgpud.session.start_up import Parts, limits, num_scanouts
from vgpud.session.supervisor import Supervisor
from vgpud.session.viewers import Viewers
from vgpud.session.vring import Vring
from vgpud.tree.messages import (
    Counters,
    Driver,
    Limits,
    Presented,
    QueueUse,
    Report,
    Scanout,
    Use,
)
from vgpud.vhost_user import requests
from vgpud.vhost_user.framing import Connection

# The daemon accepts only lines up to a limit.
CONTEXTS_REPORTED = 1024
RESOURCES_REPORTED = 10000
REASON_CHARACTERS = 1024

Asked = Callable[["Session", trio.Nursery], AbstractContextManager[None]]


async def serve_frontend(
    end: trio.socket.SocketType,
    config: Config,
    devices: Devices,
    asked: Asked = lambda session, nursery: nullcontext(),
    on_sender: Callable[[int], None] = lambda sender: None,
    on_made: Callable[[], None] = lambda: None,
    make_presenter: Callable[[], Presenter] = Presenter,
) -> None:
    """Serves a front-end until it leaves.  Errors of the front-end or its guest are handled here;
    only a ``RendererError`` is raised, when nothing can be served.

    Inside ``asked``, questions may be put to the session and are answered in tasks of that nursery.
    ``on_sender`` is given the process that the first message came from.  ``on_made`` is called when
    everything exists that is made only once, and nothing has been read yet.
    """
    failures: list[RendererError] = []
    logger.info("connected")
    try:
        await _serve(Connection(end), config, devices, asked, on_sender, on_made, make_presenter)
    except* FrontendError as group:
        logger.warning("the connection is closed: {}", first_error(group))
    except* RendererError as group:
        failures += [RendererError(str(first_error(group)))]
        logger.error("the connection is closed: {}", failures[0])
    except* OSError as group:
        logger.error(
            "the connection is closed, since something has run out: {}", first_error(group)
        )
    except* Exception:
        logger.exception("the connection is closed by a mistake in this program")
    finally:
        end.close()
    logger.info("gone")
    if failures:
        raise failures[0]


async def _serve(
    connection: Connection,
    config: Config,
    devices: Devices,
    asked: Asked,
    on_sender: Callable[[int], None],
    on_made: Callable[[], None],
    make_presenter: Callable[[], Presenter],
) -> None:
    with ExitStack() as owned:
        owned.callback(connection.close)
        session = Session(config, devices, owned, make_presenter())
        on_made()
        # When things are closed, nobody asks any more, and all questions have been answered or
        # dropped.
        async with trio.open_nursery() as nursery:
            with asked(session, nursery):
                nursery.start_soon(_name_sender, connection, on_sender)
                frontend = await session.start(nursery)
                await requests.serve(connection, frontend)
            nursery.cancel_scope.cancel()


async def _name_sender(connection: Connection, on_sender: Callable[[int], None]) -> None:
    await connection.sender_known.wait()
    on_sender(connection.sender or 0)


class Session:
    """What belongs to one front-end; ``owned`` closes it, after its tasks have ended."""

    def __init__(
        self, config: Config, devices: Devices, owned: ExitStack, presenter: Presenter
    ) -> None:
        self._config = config
        self._state = SessionState()
        owned.callback(self._state.close)
        self._memory = GuestMemory(config.limits.guest_memory)
        owned.callback(self._memory.close)
        self._presenter = presenter
        owned.callback(self._presenter.close)
        self._cursor = CursorQueue(
            self._memory.pointer, self._state.pointer, self._presenter.pointer, num_scanouts(config)
        )
        owned.callback(self._cursor.close)
        self._journal = Journal(limits(config))
        owned.callback(self._journal.clear)
        self._supervisor = Supervisor(devices)
        self._control_ring = Vring(ControlQueue(self._supervisor, self._state))
        owned.callback(self._control_ring.close)
        self._cursor_ring = Vring(CursorRing(self._cursor))
        owned.callback(self._cursor_ring.close)
        self._channels = BackendChannels()
        owned.callback(self._channels.close)
        self._shared = SharedMemory(
            config.renderer.hostmem, self._channels, lambda: len(self._memory.regions)
        )
        self._maps = MapRequests(self._shared)
        owned.callback(self._maps.close)
        self._displays = Displays(config, self._presenter, self._supervisor.kill)
        self._frontend: Frontend | None = None
        self.viewers = Viewers(self._add_viewer, self._supervisor.show_pixels)
        owned.callback(self.viewers.close)

    async def start(self, nursery: trio.Nursery) -> Frontend:
        """Starts every task."""
        reports = Reports(self._journal, self, lambda: self._displays.current, self._maps, nursery)
        parts = Parts(
            self._config,
            self._state,
            self._memory,
            self._journal,
            self._shared,
            self._control_ring,
            self._presenter.set_source,
        )
        await nursery.start(self._displays.run)
        nursery.start_soon(self._maps.run)
        nursery.start_soon(self._supervisor.run, parts, reports.receive)
        log = LimitedLog(partial(logger.warning, "{}"))
        nursery.start_soon(self._cursor.run, self._find_image, log.write)
        self._frontend = Frontend(
            len(self._config.displays),
            self._supervisor,
            self._memory,
            self._shared,
            self._channels,
            (self._control_ring, self._cursor_ring),
            self._displays,
            self._reset,
        )
        return self._frontend

    def report(self, serial: int) -> Report:
        """The state of the machine."""
        supervisor, outputs = self._supervisor, self._displays.outputs
        return Report(
            serial,
            renderer=supervisor.renderer or "",
            device_process=supervisor.pid or 0,
            restarts=supervisor.restarts,
            last_reason=supervisor.last_reason[:REASON_CHARACTERS],
            given_up=supervisor.given_up,
            vulkan=supervisor.vulkan_losses.reported(),
            driver=self._driver(),
            display=self._displays.connected,
            viewers=self.viewers.count,
            decides_outputs=outputs is not None,
            outputs=tuple(
                NO_DISPLAY if one is None else DisplaySize(*one) for one in outputs or ()
            ),
            guest_memory_bytes=sum(region.size for region in self._memory.regions),
            limits=self._limits(),
            scanouts=tuple(self._state.scanouts()),
            contexts=tuple(self._journal.contexts[:CONTEXTS_REPORTED]),
            resources=tuple(self._journal.resources(RESOURCES_REPORTED)),
            control_queue=self._queue(CONTROL_QUEUE, self._control_ring),
            cursor_queue=self._queue(CURSOR_QUEUE, self._cursor_ring),
            counters=Counters(**self._state.counters()),
            presented=Presented(**self._presenter.counters()),
        )

    def _driver(self) -> Driver:
        supervisor, journal = self._supervisor, self._journal
        return Driver(
            supervisor.device_features,
            int(self._control_ring.features),
            tuple(journal.capsets_asked),
            journal.contexts_made,
        )

    def _limits(self) -> Limits:
        limits, state, journal = self._config.limits, self._state.pointer, self._journal
        shared = self._shared
        return Limits(
            guest_memory=Use(self._memory.bytes, self._memory.limit),
            # The device process counts these two.
            image_memory=Use(int(state.image_bytes), limits.image_memory),
            images=Use(int(state.images), int(state.images_max)),
            resources=Use(len(journal), limits.resources),
            contexts=Use(len(journal.contexts), limits.contexts),
            backing_entries=Use(journal.backing_entries, limits.backing_entries),
            blob_memory=Use(journal.blob_bytes, limits.blob_memory),
            vulkan_memory=Use(0, limits.vulkan_memory if self._supervisor.has_vulkan else 0),
            hostmem=Use(shared.region.mapped_bytes, shared.region.size if shared.there else 0),
            memory_slots=Use(shared.slots_used, shared.slots),
        )

    def _queue(self, number: int, ring: Vring) -> QueueUse:
        return QueueUse(ring.size, *self._state.in_flight(number))

    def revive(self) -> None:
        """Tries again: there is a spawner again, after a time without one."""
        self._supervisor.revive()

    async def look(self, scanout_id: int) -> None:
        """Brings the image up to date that ``screen`` returns."""
        if any(one.scanout_id == scanout_id for one in self._state.scanouts()):
            await self._supervisor.read_back(scanout_id)

    def screen(self, scanout_id: int) -> tuple[Scanout, Size, int] | None:
        """A scanout, the size of its image, and the image's descriptor, which the caller owns; None
        when it shows nothing. The device process may have written anything about the scanout.
        """
        shown = {one.scanout_id: one for one in self._state.scanouts()}.get(scanout_id)
        if shown is None:
            return None
        blob = self._journal.blob(shown.resource_id)
        if blob is not None:
            picture = self._state.picture(
                scanout_id, self._memory.pointer, blob, self._config.limits.image_memory
            )
            whole = shown._replace(x=0, y=0)
            return None if picture is None else (whole, (whole.width, whole.height), picture)
        if self._journal.is_host_blob(shown.resource_id):
            # It has only what is shown.
            shown, image = shown._replace(x=0, y=0), self._journal.picture(scanout_id)
        else:
            image = self._journal.image(shown.resource_id)
        if image is None or not _lies_in(shown, image[0]):
            return None
        return shown, image[0], os.dup(image[1])

    def _add_viewer(self, channel: int) -> None:
        self._presenter.add_viewer(channel, self._config.limits.image_memory)

    async def set_output(self, scanout_id: int, size: Size | None) -> bool:
        """Plugs a display of that size into an output, or none, and has the guest look; false when
        the guest will see it only when it starts next, since the front-end does not pass it on.
        """
        self._displays.set_output(scanout_id, size)
        try:
            return self._frontend is not None and await self._frontend.announce_displays()
        except FrontendError as error:
            logger.warning("the displays have changed, but {}", error)
            raise ControlError(f"output {scanout_id} is changed, but {error}") from None

    async def _find_image(self, resource_id: int) -> None:
        # After the answer everything that the device process sent before has been read.
        await self._supervisor.ping()

    def image_created(self, created: messages.ResourceCreated, image: int) -> None:
        self._cursor.add_image(created.resource_id, created.width, created.height, image)

    def blob_backed(self, resource_id: int, entries: bytes) -> None:
        # Its previous backing, in case the device process did not say that it was detached.
        self._cursor.remove_image(resource_id)
        self._cursor.add_blob(resource_id, entries)

    def image_gone(self, resource_id: int) -> None:
        self._cursor.remove_image(resource_id)

    def resource_gone(self, resource_id: int) -> None:
        self.image_gone(resource_id)
        self._maps.resource_gone(resource_id)

    def _reset(self) -> None:
        self._journal.clear()
        self._maps.reset()
        self._state.forget_scanouts()
        self._cursor.reset()
        self._presenter.forget_cursors()


def _lies_in(scanout: Scanout, size: tuple[int, int]) -> bool:
    width, height = size
    return scanout.x + scanout.width <= width and scanout.y + scanout.height <= height
