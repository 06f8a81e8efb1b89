# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One front-end, from its connection to its end: everything that it owns, in one nursery."""

import time
from contextlib import ExitStack
from functools import partial
from typing import Any

import trio
from loguru import logger

from vgpud.config.schema import Config
from vgpud.control.protocol import ControlError
from vgpud.daemon.machines import Machines
from vgpud.display.headless import Size
from vgpud.display.presenter import Presenter
from vgpud.errors import FrontendError, RendererError
from vgpud.link import messages
from vgpud.link.limited_log import LimitedLog
from vgpud.session.control_queue import ControlQueue
from vgpud.session.cursor_queue import CursorQueue
from vgpud.session.cursor_ring import CursorRing
from vgpud.session.displays import Displays
from vgpud.session.frontend import Frontend
from vgpud.session.guest_memory import GuestMemory
from vgpud.session.journal import Journal
from vgpud.session.reports import Reports
from vgpud.session.session_state import CONTROL_QUEUE, CURSOR_QUEUE, Scanout, SessionState
from vgpud.session.start_up import Parts, limits, num_scanouts
from vgpud.session.supervisor import Supervisor
from vgpud.session.vring import Vring
from vgpud.vhost_user import requests
from vgpud.vhost_user.framing import Connection


async def serve_frontend(
    end: trio.socket.SocketType, config: Config, machines: Machines, name: str
) -> None:
    """Serves a front-end until it leaves.  Whatever it or its guest did wrong ends here; what is
    raised is a ``RendererError``, when nobody could be served.
    """
    failures: list[RendererError] = []
    with logger.contextualize(session=name):
        logger.info("connected")
        try:
            await _serve(Connection(end), config, machines, name)
        except* FrontendError as group:
            logger.warning("the connection is closed: {}", _sentence(group))
        except* RendererError as group:
            failures += [RendererError(_sentence(group))]
            logger.error("the connection is closed: {}", failures[0])
        except* OSError as group:
            logger.error("the connection is closed, for lack of something: {}", _sentence(group))
        except* Exception:
            logger.exception("the connection is closed, by a mistake in this program")
        finally:
            end.close()
        logger.info("gone")
    if failures:
        raise failures[0]


def _sentence(group: BaseExceptionGroup[BaseException]) -> str:
    """The text of the first error in it."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return str(first)


async def _serve(connection: Connection, config: Config, machines: Machines, name: str) -> None:
    with ExitStack() as owned:
        session = Session(config, owned)
        async with trio.open_nursery() as nursery:
            owned.enter_context(machines.serving(name, session))
            frontend = await session.start(nursery)
            owned.callback(frontend.close)
            await requests.serve(connection, frontend)
            nursery.cancel_scope.cancel()


class Session:
    """What belongs to one front-end; all of it is closed with ``owned``, after its tasks."""

    def __init__(self, config: Config, owned: ExitStack) -> None:
        self._config = config
        self._since = time.monotonic()
        self._state = SessionState()
        owned.callback(self._state.close)
        self._memory = GuestMemory()
        owned.callback(self._memory.close)
        self._presenter = Presenter()
        owned.callback(self._presenter.close)
        self._cursor = CursorQueue(
            self._memory.pointer, self._state.pointer, self._presenter.pointer, num_scanouts(config)
        )
        owned.callback(self._cursor.close)
        self._journal = Journal(limits(config))
        owned.callback(self._journal.clear)
        self._supervisor = Supervisor()
        self._control_ring = Vring(ControlQueue(self._supervisor, self._state))
        owned.callback(self._control_ring.close)
        self._cursor_ring = Vring(CursorRing(self._cursor))
        owned.callback(self._cursor_ring.close)
        self._displays = Displays(config, self._presenter, self._supervisor.kill)
        self._frontend: Frontend | None = None

    async def start(self, nursery: trio.Nursery) -> Frontend:
        """Starts every task."""
        reports = Reports(self._journal, self, lambda: self._displays.current, nursery)
        parts = Parts(
            self._config,
            self._state,
            self._memory,
            self._journal,
            self._control_ring,
            self._presenter.set_source,
        )
        await nursery.start(self._displays.run)
        nursery.start_soon(self._supervisor.run, parts, reports.receive)
        complain = LimitedLog(partial(logger.warning, "{}")).write
        nursery.start_soon(self._cursor.run, self._find_image, complain)
        self._frontend = Frontend(
            len(self._config.displays),
            self._supervisor,
            self._memory,
            (self._control_ring, self._cursor_ring),
            self._displays,
            self._reset,
        )
        return self._frontend

    def report(self) -> dict[str, Any]:
        """What there is to say of the machine, as JSON has it."""
        supervisor = self._supervisor
        return {
            "seconds": time.monotonic() - self._since,
            "renderer": supervisor.renderer,
            "device_process": supervisor.pid,
            "restarts": supervisor.restarts,
            "display": self._displays.connected,
            "outputs": _outputs(self._displays.outputs),
            "guest_memory_bytes": sum(region.size for region in self._memory.regions),
            "scanouts": [scanout._asdict() for scanout in self._state.scanouts()],
            "contexts": [context._asdict() for context in self._journal.contexts],
            "resources": self._journal.resources(),
            "queues": {
                "control": self._queue(CONTROL_QUEUE, self._control_ring),
                "cursor": self._queue(CURSOR_QUEUE, self._cursor_ring),
            },
            "counters": self._state.counters(),
            "presented": self._presenter.counters(),
        }

    def _queue(self, number: int, ring: Vring) -> dict[str, int]:
        in_flight, fenced = self._state.in_flight(number)
        return {"size": ring.size, "in_flight": in_flight, "fences_in_flight": fenced}

    def supervised(self) -> bool:
        """Whether the supervision of the device process goes on."""
        return trio.current_time() < self._supervisor.due

    async def look(self, scanout_id: int) -> None:
        """Has the image brought up to date that ``screen`` gives."""
        await self._supervisor.read_back(scanout_id)

    def screen(self, scanout_id: int) -> tuple[Scanout, tuple[int, int], int] | None:
        """A scanout, the size of its image, and the image's descriptor."""
        for scanout in self._state.scanouts():
            if scanout.scanout_id == scanout_id:
                image = self._journal.image(scanout.resource_id)
                # What the device process says of a scanout may be anything.
                return (scanout, *image) if image and _lies_in(scanout, image[0]) else None
        return None

    async def set_output(self, scanout_id: int, size: Size | None) -> None:
        """Plugs a display of that size into an output, or none, and has the guest look."""
        self._displays.set_output(scanout_id, size)
        if self._frontend is None or not await self._frontend.announce_displays():
            raise ControlError(
                f"output {scanout_id} is changed, but the guest will see that at its next start only:"
                " the front-end refuses to announce it"
            )

    async def _find_image(self, resource_id: int) -> None:
        # All that the device process said before its answer has been read by then.
        await self._supervisor.ping()

    def image_created(self, created: messages.ResourceCreated, image: int) -> None:
        self._cursor.add_image(created.resource_id, created.width, created.height, image)

    def image_gone(self, resource_id: int) -> None:
        self._cursor.remove_image(resource_id)

    def _reset(self) -> None:
        self._journal.clear()
        self._state.forget_scanouts()
        self._cursor.reset()
        self._presenter.forget_cursors()


def _outputs(sizes: list[Size | None] | None) -> list[dict[str, int] | None] | None:
    if sizes is None:
        return None
    return [None if size is None else {"width": size[0], "height": size[1]} for size in sizes]


def _lies_in(scanout: Scanout, size: tuple[int, int]) -> bool:
    width, height = size
    return scanout.x + scanout.width <= width and scanout.y + scanout.height <= height
