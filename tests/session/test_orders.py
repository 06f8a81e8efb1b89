# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Questions about a session that has not started, works, or has ended: the daemon asks when it likes."""

import json
import socket
from typing import Any, cast

import trio

from vgpud.config.schema import Config
from vgpud.control.protocol import request
from vgpud.session.daemon_link import DaemonLink
from vgpud.session.devices import SpawnedDevices
from vgpud.session.orders import Orders
from vgpud.session.session import serve_frontend
from vgpud.tree.messages import AskReport, Report, ServeClient

from ..driver.frontend import Frontend, Request
from .executed import ExecutedDevices

SCREEN = request("screen").decode().strip()


class Said:
    """What a session has to say, instead of the link to a daemon."""

    def __init__(self) -> None:
        self.reports: list[Any] = []

    def report(self, message: Any) -> None:
        self.reports.append(message)


def ask_for_screen(orders: Orders) -> socket.socket:
    """The client's end; the session has the other one."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    orders.carry_out(ServeClient(SCREEN), [theirs.detach()])
    return ours


async def answer(client: socket.socket) -> str:
    """Its error; nothing when it was hung up on."""
    with client:
        line = await trio.to_thread.run_sync(client.recv, 4096)
    return str(json.loads(line)["error"]) if line else ""


async def test_whoever_asks_too_early_or_too_late_is_told_so(nursery: trio.Nursery) -> None:
    said = Said()
    orders = Orders(nursery, cast(DaemonLink, said), SpawnedDevices(nursery))
    ours, theirs = socket.socketpair()
    frontend = Frontend(ours, timeout=20)

    async def ask(expected: int, error: str) -> None:
        orders.carry_out(AskReport(7), [])
        assert [type(one) for one in said.reports] == [Report] * expected
        assert error in await answer(ask_for_screen(orders))

    with trio.fail_after(40):
        await ask(0, "not started")
        async with trio.open_nursery() as serving:
            end = trio.socket.from_stdlib_socket(theirs)
            serving.start_soon(serve_frontend, end, Config(), ExecutedDevices(), orders.about)
            await trio.to_thread.run_sync(frontend.ask_u64, Request.GET_FEATURES)
            await ask(1, "shows nothing")
            frontend.close()
        await ask(1, "has left")


async def test_a_question_ends_with_the_session_that_it_is_about(nursery: trio.Nursery) -> None:
    """What is asked about is closed right afterwards."""
    orders = Orders(nursery, cast(DaemonLink, Said()), SpawnedDevices(nursery))
    waiting = trio.Event()

    class Slow:
        """A session whose device process does not answer."""

        def screen(self, scanout_id: int) -> object:
            return object()

        async def look(self, scanout_id: int) -> None:
            waiting.set()
            await trio.sleep_forever()

    with trio.fail_after(10):
        async with trio.open_nursery() as own:
            with orders.about(cast(Any, Slow()), own):
                client = ask_for_screen(orders)
                await waiting.wait()
            own.cancel_scope.cancel()
        assert await answer(client) == ""
