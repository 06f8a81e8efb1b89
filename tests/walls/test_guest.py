# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A guest does what it may, as much of it as it can: that must not disturb other machines."""

from __future__ import annotations

import struct
from contextlib import ExitStack

import pytest

from tests.driver import commands
from tests.driver.aftermath import House, newcomer
from tests.driver.backend import Machine
from tests.driver.flood import flooding
from tests.driver.gpu import CommandFailedError
from tests.driver.memory import GuestMemory, MiB
from tests.driver.processes import settled
from tests.driver.witness import Latencies

pytestmark = pytest.mark.timeout(60)

RESOURCES = 640
ORDINARY_MACHINES = 49
ORDINARY_RESOURCES = 8
OUTPUTS = [(1000 + 10 * number, 600) for number in range(16)]

# How much later the worst of a hundred may come while another floods: the promise is twice, on a computer that does nothing else.
TIMES_LATER = 4
# Below this nobody can tell, and on two processors the scheduler alone may make it.
UNNOTICEABLE_SECONDS = 0.008
TURNS = 3
FLOODS = ("cursors", "moves", "flushes", "displays")


def test_a_guest_may_have_many_small_resources(house: House) -> None:
    """As many as it likes up to its own limit; whether it gets them or not, a newcomer is served."""
    with house.misdeed(), Machine(house.socket_path, memory=GuestMemory(8 * MiB)) as machine:
        for _ in range(RESOURCES):
            try:
                machine.guest.create_2d(8, 8)
            except CommandFailedError:
                break
        house.check()
        assert machine.guest.display_info().ok


def test_many_ordinary_machines_keep_no_newcomer_out(house: House) -> None:
    with house.misdeed(), ExitStack() as machines:
        for _ in range(ORDINARY_MACHINES):
            machine = Machine(house.socket_path, memory=GuestMemory(1 * MiB))
            machines.enter_context(machine)
            for _ in range(ORDINARY_RESOURCES):
                machine.guest.create_2d(8, 8)
        newcomer(house.socket_path)
        house.check()


def test_questions_that_come_all_at_once_are_answered_by_the_display(house: House) -> None:
    """Linux asks for each output's EDID and for all sizes before it waits: none of that may be made up."""
    with Machine(
        house.socket_path, outputs=OUTPUTS, memory=GuestMemory(4 * MiB), guest={"control_size": 128}
    ) as machine:
        guest = machine.guest
        assert guest.edid(0).ok
        machine.display.pause()
        edids = [
            guest.submit(commands.get_edid(number), commands.EDID_SIZE)
            for number in range(len(OUTPUTS))
        ]
        info = guest.submit(commands.get_display_info(), commands.DISPLAY_INFO_SIZE)
        assert settled(machine.display.unread)
        machine.display.resume()
        assert [_preferred(guest.wait(edid).data) for edid in edids] == OUTPUTS
        assert _sizes(guest.wait(info).data) == OUTPUTS


def _preferred(edid: bytes) -> tuple[int, int]:
    """Of the first detailed timing; behind a size and padding."""
    timing = edid[8 + 54 :]
    return timing[2] | timing[4] >> 4 << 8, timing[5] | timing[7] >> 4 << 8


def _sizes(info: bytes) -> list[tuple[int, int]]:
    return [struct.unpack_from("<8xII", info, 24 * number) for number in range(len(OUTPUTS))]


@pytest.mark.parametrize("what", FLOODS)
def test_a_guest_that_floods_makes_no_other_wait(
    house: House, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three of three hundred that come late are the whole of a 99th percentile, and a computer with two processors that does
    something else for a moment makes them so; what a flood does, it does in each turn.
    """
    for _ in range(TURNS):
        quiet = _latencies(house)
        with house.misdeed(), flooding(house.socket_path, what):
            loud = _latencies(house)
        with capsys.disabled():
            for name in quiet:
                print(f"\n{name} beside {what}: quiet {quiet[name]}; loud {loud[name]}", end="")
        late = {
            name: loud[name] for name in quiet if loud[name].percentile(99) > _bearable(quiet[name])
        }
        if not late:
            return
    pytest.fail(f"beside {what}, in each of {TURNS} turns, too late: {late}")


def _bearable(quiet: Latencies) -> float:
    return max(TIMES_LATER * quiet.percentile(99), UNNOTICEABLE_SECONDS)


def _latencies(house: House) -> dict[str, Latencies]:
    return {
        "cursor": house.witness.cursor_latencies(),
        "GET_CONFIG": house.witness.config_latencies(),
    }
