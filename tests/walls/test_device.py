# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A guest may have taken over its device process: that costs this guest its device, and others
nothing.
"""

from __future__ import annotations

import contextlib

import pytest

from tests.driver.aftermath import House
from tests.driver.backend import Machine
from tests.driver.hostile_device import ATTACKS, order
from tests.driver.memory import GuestMemory, MiB
from tests.driver.queue import NoResponseError

# How long an attack has before the others are looked at: while it goes on, if it goes on.
ATTACK_SECONDS = 0.3


@pytest.mark.timeout(60)
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_device_process_does_is_its_own_machine_s_trouble(house: House, attack: str) -> None:
    paths = [house.socket_path, f"{house.socket_path}.control"]
    others = [*house.tree.processes(), *paths]
    with house.misdeed(), Machine(house.socket_path, memory=GuestMemory(2 * MiB)) as machine:
        machine.guest.show(machine.guest.create_2d(64, 64))
        pending = order(machine.guest, attack, others)
        with contextlib.suppress(NoResponseError):
            machine.guest.control.wait(pending, ATTACK_SECONDS)
        house.check()
