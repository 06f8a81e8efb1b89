# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Questions to QEMU's display socket: each with its own answer, or none in time."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.driver.display import Display, DisplayServer, make_edid
from vgpud.display.edid import edid_response
from vgpud.display.edid import make_edid as our_edid
from vgpud.display.headless import NO_ANSWER
from vgpud.display.messages import Request, get_protocol_features
from vgpud.display.presenter import NotSentError, Presenter
from vgpud.display.socket import DisplaySocket


@asynccontextmanager
async def connected(
    server: DisplayServer, *, timeout: float = 5.0
) -> AsyncIterator[tuple[DisplaySocket, Presenter]]:
    """A display socket with the presenter that writes to it, both at work."""
    presenter = Presenter()
    display = DisplaySocket(server.theirs.dup(), presenter.post, timeout)
    presenter.set_display(display.fileno())
    server.theirs.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(presenter.run, lambda reason: None)
        nursery.start_soon(display.run)
        yield display, presenter
        nursery.cancel_scope.cancel()
    display.close()
    presenter.close()
    server.close()


class Script:
    """The far end of a display socket whose replies a test writes itself; nothing is really sent."""

    def __init__(self) -> None:
        self.far, near = socket.socketpair()
        self.shared = near.dup()
        self.posted: list[int] = []
        self.full = False
        self.display = DisplaySocket(near, self._post, timeout=1)

    def _post(self, message: bytes) -> None:
        if self.full:
            raise NotSentError
        self.posted.append(struct.unpack_from("=I", message)[0])

    def reply(self, request: int, payload: bytes) -> None:
        self.far.sendall(struct.pack("=3I", request, 4, len(payload)) + payload)

    def close(self) -> None:
        self.display.close()
        self.far.close()
        self.shared.close()


async def test_display_information_is_qemus_own() -> None:
    async with connected(DisplayServer([(1024, 768), (800, 600)])) as (display, _):
        response = await display.display_info()
    assert len(response) == 408
    assert struct.unpack_from("<6I", response, 48) == (0, 0, 800, 600, 1, 0)


async def test_an_edid_is_qemus_own() -> None:
    async with connected(DisplayServer([(1024, 768)])) as (display, _):
        response = await display.edid(0)
    assert response[32:160] == make_edid(1024, 768)


async def test_nothing_is_cached() -> None:
    server = DisplayServer([(1024, 768)])
    async with connected(server) as (display, _):
        first = await display.display_info(), await display.edid(0)
        server.outputs[0] = (1600, 1200)
        second = await display.display_info(), await display.edid(0)
    assert struct.unpack_from("<4I", second[0], 24) == (0, 0, 1600, 1200)
    assert first[1] != second[1]


async def test_a_scanout_that_qemu_does_not_have_costs_no_time_and_no_later_answer() -> None:
    """QEMU sends no reply at all for it."""
    async with connected(DisplayServer([(1024, 768)]), timeout=60) as (display, _):
        with trio.fail_after(5):
            assert await display.edid(7) == NO_ANSWER
            assert await display.edid(16) == NO_ANSWER
            assert (await display.edid(0))[32:160] == make_edid(1024, 768)


async def test_qemu_7_2_gives_no_edid_so_one_is_made() -> None:
    server = DisplayServer([(1024, 768)], protocol_features=0)
    async with connected(server) as (display, _):
        response = await display.edid(0)
        assert await display.edid(1) == NO_ANSWER
    assert response == edid_response(our_edid(1024, 768, serial=1))
    assert Display.GET_EDID not in server.messages
    assert server.violations == []


async def test_a_display_that_does_not_answer_in_time_is_no_answer() -> None:
    async with connected(DisplayServer(answers=False), timeout=0.05) as (display, _):
        assert await display.display_info() == NO_ANSWER
        assert await display.edid(0) == NO_ANSWER


async def test_many_questions_at_once_get_their_own_answers() -> None:
    sizes = [(640 + scanout_id, 480) for scanout_id in range(8)]
    answers: dict[int, bytes] = {}

    async def ask(display: DisplaySocket, scanout_id: int) -> None:
        answers[scanout_id] = await display.edid(scanout_id)

    async with connected(DisplayServer(sizes)) as (display, _):
        await display.negotiate()
        async with trio.open_nursery() as nursery:
            for scanout_id in range(8):
                nursery.start_soon(ask, display, scanout_id)
    for scanout_id, size in enumerate(sizes):
        assert answers[scanout_id][32:160] == make_edid(*size)


async def test_a_display_that_closes_leaves_nobody_waiting() -> None:
    server = DisplayServer(answers=False)
    async with connected(server, timeout=60) as (display, _):
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(display.display_info)
                await trio.testing.wait_all_tasks_blocked(0.05)
                nursery.start_soon(trio.to_thread.run_sync, server.close)
            assert await display.display_info() == NO_ANSWER


async def test_a_late_reply_is_not_taken_for_the_next_one() -> None:
    script = Script()
    late, next_one = b"\1" * 408, b"\2" * 408
    async with trio.open_nursery() as nursery:
        nursery.start_soon(script.display.run)
        assert await script.display.display_info() == NO_ANSWER

        async def reply() -> None:
            await trio.testing.wait_all_tasks_blocked()
            script.reply(Display.GET_DISPLAY_INFO, late)
            script.reply(Display.GET_DISPLAY_INFO, next_one)

        nursery.start_soon(reply)
        assert await script.display.display_info() == next_one
        nursery.cancel_scope.cancel()
    script.close()


async def test_replies_that_nobody_asked_for_are_left_out() -> None:
    script = Script()
    answers: list[bytes] = []

    async def ask() -> None:
        answers.append(await script.display.display_info())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(script.display.run)
        script.reply(Display.GET_EDID, bytes(1056))
        script.reply(Display.DMABUF_UPDATE, b"")
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked(0.05)
        script.reply(Display.GET_EDID, bytes(1056))
        script.reply(Display.GET_DISPLAY_INFO, b"\3" * 408)
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.cancel_scope.cancel()
    assert answers == [b"\3" * 408]
    script.close()


async def test_a_display_that_makes_no_sense_is_given_up() -> None:
    script = Script()
    script.far.sendall(b"\xff" * 12)
    with trio.fail_after(5):
        await script.display.run()
    assert await script.display.display_info() == NO_ANSWER
    assert script.posted == []
    script.close()


async def test_a_display_that_reads_nothing_is_asked_a_few_times_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script = Script()
    for _ in range(100):
        assert await script.display.display_info() == NO_ANSWER
    assert len(script.posted) == 32
    script.close()


async def test_a_message_that_cannot_be_posted_in_time_is_no_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script = Script()
    script.full = True
    for _ in range(2):
        start = trio.current_time()
        assert await script.display.display_info() == NO_ANSWER
        assert await script.display.edid(0) == NO_ANSWER
        assert trio.current_time() - start == pytest.approx(2)
    script.close()


async def test_a_message_that_cannot_be_posted_waits_for_its_turn() -> None:
    script = Script()
    script.display._timeout = 5
    script.full = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(script.display.run)
        nursery.start_soon(script.display.display_info)
        await trio.sleep(0.1)
        nursery.start_soon(script.display.edid, 0)
        await trio.sleep(0.1)
        assert script.posted == []
        script.full = False
        await trio.sleep(0.1)
        assert script.posted == [Display.GET_DISPLAY_INFO, Display.GET_PROTOCOL_FEATURES]
        script.full = True
        script.reply(Display.GET_PROTOCOL_FEATURES, struct.pack("=Q", 1))
        await trio.sleep(0.1)
        script.full = False
        await trio.sleep(0.1)
        assert script.posted[2:] == [
            Display.SET_PROTOCOL_FEATURES,
            Display.GET_EDID,
            Display.GET_PROTOCOL_FEATURES,
        ]
        nursery.cancel_scope.cancel()
    script.close()


@pytest.mark.parametrize("delay", [0.0, 0.001])
@pytest.mark.parametrize("protocol_features", [3, 0], ids=["QEMU 8", "QEMU 7.2"])
async def test_as_many_questions_as_a_guest_can_ask_have_the_answers_of_the_display(
    protocol_features: int, delay: float
) -> None:
    sizes = [(640 + scanout_id, 480) for scanout_id in range(16)]
    answers: dict[int, bytes] = {}

    async def ask(display: DisplaySocket, number: int) -> None:
        scanout_id = number % 17
        if scanout_id == 16:
            answers[number] = await display.display_info()
        else:
            answers[number] = await display.edid(scanout_id)

    server = DisplayServer(sizes, protocol_features=protocol_features, delay=delay)
    async with connected(server, timeout=20) as (display, _), trio.open_nursery() as nursery:
        for number in range(1024):
            nursery.start_soon(ask, display, number)
    assert server.violations == []
    assert server.messages.count(Display.SET_PROTOCOL_FEATURES) == 1
    for number in range(1024):
        scanout_id = number % 17
        if scanout_id == 16:
            assert struct.unpack_from("<4I", answers[number], 24) == (0, 0, 640, 480)
        elif protocol_features:
            assert answers[number][32:160] == make_edid(*sizes[scanout_id])
        else:
            assert answers[number] == edid_response(
                our_edid(*sizes[scanout_id], serial=scanout_id + 1)
            )


async def test_questions_are_asked_in_their_order(nursery: trio.Nursery) -> None:
    script = Script()
    script.display._timeout = 5
    nursery.start_soon(script.display.run)

    async def ask_much() -> None:
        async with trio.open_nursery() as asking:
            for number in range(200):
                asking.start_soon((script.display.display_info, negotiate)[number % 2])
                await trio.testing.wait_all_tasks_blocked()
            script_done.set()

    async def negotiate() -> None:
        await script.display._ask((Request.GET_PROTOCOL_FEATURES, get_protocol_features()))

    script_done = trio.Event()
    with trio.fail_after(5):
        async with trio.open_nursery() as asking:
            asking.start_soon(ask_much)
            await script_done.wait()
            answered = 0
            while answered < 200:
                for request in script.posted[answered:]:
                    script.reply(request, bytes(408 if request == 3 else 8))
                    answered += 1
                await trio.sleep(0.001)
    assert script.posted == [Display.GET_DISPLAY_INFO, Display.GET_PROTOCOL_FEATURES] * 100
    script.close()


async def test_who_waits_for_its_turn_at_a_display_that_closes_waits_no_longer() -> None:
    script = Script()
    script.display._timeout = 60
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(script.display.display_info)
                nursery.start_soon(script.display.edid, 0)
            await trio.testing.wait_all_tasks_blocked()
            script.display.close()
    script.close()


@pytest.mark.parametrize("payload", [b"", bytes(24), bytes(4096)])
async def test_a_display_information_of_another_size_is_given_up(payload: bytes) -> None:
    script = Script()
    script.reply(Display.GET_DISPLAY_INFO, payload)
    with trio.fail_after(5):
        await script.display.run()
    script.close()


async def test_a_display_whose_flags_another_clears_keeps_nobody_waiting() -> None:
    """O_NONBLOCK is the open file's, and who has made a pair of sockets may have kept both."""
    script = Script()
    script.shared.setblocking(True)
    with trio.move_on_after(0.1) as scope:
        await script.display.run()
    assert scope.cancelled_caught
    script.close()
