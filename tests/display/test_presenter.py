# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The presenter's task: it runs beside everything else and ends when it is cancelled."""

from __future__ import annotations

import os
import socket
import threading

import pytest
import trio
import trio.testing

from tests.driver.display import DisplayServer
from tests.native.device_end import DeviceEnd, Image, Record
from vgpud.display.presenter import NotSentError, Presenter, PresenterExit


async def test_cancelling_ends_it_at_once() -> None:
    presenter = Presenter()
    with trio.fail_after(2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(presenter.run, lambda reason: None)
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.cancel_scope.cancel()
    presenter.close()


async def test_cancelling_ends_it_while_a_display_reads_nothing() -> None:
    presenter = Presenter()
    ours, theirs = socket.socketpair()
    presenter.set_display(theirs.fileno())
    for _ in range(64):
        presenter.post(bytes(8) + (60_000).to_bytes(4, "little") + bytes(60_000))
    with trio.fail_after(2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(presenter.run, lambda reason: None)
            await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
    presenter.close()
    ours.close()
    theirs.close()


async def test_cancelling_ends_it_while_a_display_waits_to_be_read() -> None:
    """Its VMM has made the socket block, which it shares with us."""
    presenter = Presenter()
    device, image = DeviceEnd(), Image(1, 1024, 1024)
    presenter.set_source(device.theirs.fileno())
    ours, theirs = socket.socketpair()
    presenter.set_display(theirs.fileno())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(presenter.run, lambda reason: None)
        with trio.fail_after(2):
            while os.get_blocking(theirs.fileno()):
                await trio.sleep(0.005)
        os.set_blocking(theirs.fileno(), True)
        device.image((0, 1024, 1024), (0, 0, 1024, 1024), image)
        await trio.sleep(0.1)
        # Or this test would wait as well.
        rescue = threading.Timer(2, ours.close)
        rescue.start()
        begun = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - begun < 0.5
    rescue.cancel()
    presenter.close()
    device.close()
    image.close()
    ours.close()
    theirs.close()


async def test_what_happens_is_told_and_it_goes_on() -> None:
    presenter = Presenter()
    reasons: list[PresenterExit] = []
    device, display = DeviceEnd(), DisplayServer()
    presenter.set_source(device.theirs.fileno())
    presenter.set_display(display.theirs.fileno())
    device.theirs.close()
    display.theirs.close()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(presenter.run, reasons.append)
            display.close()
            while reasons != [PresenterExit.DISPLAY_CLOSED]:
                await trio.sleep(0.01)
            with pytest.raises(NotSentError):
                presenter.post(bytes(12))
            device.send(Record(99))
            while len(reasons) < 2:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert reasons == [PresenterExit.DISPLAY_CLOSED, PresenterExit.SOURCE_BROKEN]
    presenter.close()
    device.close()


async def test_the_event_loop_goes_on_meanwhile() -> None:
    presenter = Presenter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(presenter.run, lambda reason: None)
        with trio.fail_after(2):
            for _ in range(100):
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    presenter.close()
