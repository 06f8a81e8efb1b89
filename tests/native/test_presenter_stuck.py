# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A display socket that its VMM has made block, and that nobody reads, holds nobody up for good."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.driver.display import DisplayServer
from vgpud.native import lib

from .device_end import Image
from .presenting import SCANOUT, Presenting, noise

SIDE = 1024


class Stuck:
    """A presenter whose thread waits in a write; ``shared`` is its own end as the VMM has it."""

    def __init__(self) -> None:
        self.presenting = Presenting()
        self.presenting.display.close()
        self.ours, theirs = socket.socketpair()
        self.shared = theirs
        self.give()
        assert wait_for(lambda: not os.get_blocking(theirs.fileno()))
        os.set_blocking(theirs.fileno(), True)
        self.image = Image(1, SIDE, SIDE)
        self.flush()
        assert wait_for(self.waits)
        self.presenting.reasons.clear()

    def give(self) -> None:
        presenter = self.presenting.presenter
        assert lib.presenter_set_display(presenter, self.shared.fileno()) == 0

    def flush(self) -> None:
        whole = (0, 0, SIDE, SIDE)
        self.presenting.device.image((0, SIDE, SIDE), whole, self.image)

    def waits(self) -> bool:
        """Whether its thread gives pages to the socket."""
        calls = Path(f"/proc/self/task/{self.presenting.thread.native_id}/syscall")
        return calls.read_text().split()[0] in SPLICE

    def close(self) -> None:
        self.presenting.close()
        self.ours.close()
        self.shared.close()
        self.image.close()


# splice(2) on x86-64 and on those that have the generic table.
SPLICE = ("275", "76")


def wait_for(condition: Callable[[], bool], seconds: float = 2.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    stuck = Stuck()
    yield stuck
    stuck.ours.close()  # for a presenter that nothing else has ended
    stuck.close()


def test_a_stop_ends_it(stuck: Stuck) -> None:
    begun = time.monotonic()
    lib.presenter_stop(stuck.presenting.presenter)
    stuck.presenting.thread.join(2)
    assert not stuck.presenting.thread.is_alive()
    assert time.monotonic() - begun < 0.5
    assert stuck.presenting.reasons == [lib.PRESENTER_STOPPED]


def test_another_display_takes_its_place(stuck: Stuck) -> None:
    presenting = stuck.presenting
    presenting.display = DisplayServer()
    presenting.set_display(presenting.display)
    pixels = noise(64, 48)
    presenting.device.staged(SCANOUT, (0, 0, 64, 48), pixels)
    assert presenting.display.wait_for_picture(0, pixels)
    assert presenting.reasons == []


def test_none_any_more_ends_it(stuck: Stuck) -> None:
    lib.presenter_set_display(stuck.presenting.presenter, -1)
    assert stuck.presenting.device.released(2)
    # What comes is consumed without being shown.
    stuck.flush()
    assert stuck.presenting.device.released(2)


def test_the_same_socket_is_not_shut_down(stuck: Stuck) -> None:
    stuck.give()
    stuck.ours.settimeout(2)
    # All of the frame comes, and the next one after it: the socket still stands.
    left = 12 + 20 + SIDE * SIDE * 4
    while left > 0:
        left -= len(stuck.ours.recv(1 << 20))
    stuck.flush()
    assert stuck.ours.recv(1)


def test_a_display_that_is_replaced_sees_its_end(presenting: Presenting) -> None:
    first, presenting.display = presenting.display, DisplayServer()
    presenting.set_display(presenting.display)
    assert first.wait_for(lambda: first.closed)
    pixels = noise(64, 48)
    presenting.device.staged(SCANOUT, (0, 0, 64, 48), pixels)
    assert presenting.display.wait_for_picture(0, pixels)
    assert presenting.reasons == []
    first.close()
