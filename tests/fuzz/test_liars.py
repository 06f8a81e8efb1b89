# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What liars are told to say is said, and what it costs somebody is noticed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.driver import hostile_device
from tests.driver.aftermath import AftermathError, House
from tests.driver.backend import Machine
from tests.driver.memory import GuestMemory, MiB
from tests.driver.processes import wait_until
from tests.driver.wicked.speech import Word
from vgpud.link.codec import encode
from vgpud.link.messages import BackingAttached
from vgpud.tree import codec
from vgpud.tree.messages import Tried

from .device import Device
from .liar import Ground
from .session import Session

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def ground() -> Iterator[Ground]:
    """Without sanitizers."""
    environment = hostile_device.ENVIRONMENT | hostile_device.LYING_SESSIONS
    made = Ground(lambda: House(environment=environment))
    yield made
    made.close()


def says(house: House, text: str) -> Callable[[], bool]:
    return lambda: text in house.tree.log


def test_a_device_process_says_what_it_is_told(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Device, "ground", ground, raising=False)
    device = Device()
    device.comes()
    device.say(Word("link", encode(BackingAttached(7, b"")).hex()))
    assert wait_until(says(device.house, "BackingAttached of 7, which does not exist"))
    device.teardown()
    assert ground.cases == 1


def test_a_session_says_what_it_is_told(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "ground", ground, raising=False)
    session = Session()
    session.comes()
    session.has_a_device()
    session.say(Word("log", b"it lies\n".hex()))
    assert wait_until(says(session.house, "it lies"))
    session.say(*[Word("reports", codec.encode(Tried("it lies")).hex())] * 20)
    assert wait_until(says(session.house, "it sends more than it was asked for"))
    session.teardown()
    assert ground.cases == 1


def test_a_crash_of_anybody_is_noticed(ground: Ground) -> None:
    house = ground.house()
    with Machine(house.socket_path, memory=GuestMemory(MiB)):
        [name] = house.tree.machines().keys() - {house.name}
        ground.look(house)
        os.kill(house.tree.machines()[name]["session_process"], signal.SIGSEGV)
        assert wait_until(says(house, "ended with SIGSEGV"))
        with pytest.raises(AftermathError, match="somebody has crashed"):
            ground.look(house)
    assert ground.house() is not house


def test_a_witness_that_is_not_served_is_noticed(ground: Ground) -> None:
    house = ground.house()
    os.kill(house.tree.machines()[house.name]["device_process"], signal.SIGSTOP)
    with pytest.raises(AftermathError, match="the witness is not served"):
        ground.look(house)
