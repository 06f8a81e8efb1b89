# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A VMM may send, hand over and do anything: that costs only its own machine."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

import pytest

from tests.driver.aftermath import House
from tests.driver.backend import Machine
from tests.driver.descriptors import KINDS, Hands
from tests.driver.frontend import VERSION, Request
from tests.driver.hostile_vmm import PLACES, HostileVmm, other_machines_descriptors
from tests.driver.memory import GuestMemory, MiB

pytestmark = pytest.mark.timeout(90)

REQUESTS = [*Request, 0, 42, 2**32 - 1]
# Sizes that a header may claim: none, what some requests take, less than any structure, more than anybody has.
SIZES = (0, 7, 8, 40, 255, 4096, 2**31, 2**32 - 1)
FLAGS = (0, VERSION, VERSION | 4, VERSION | 8, 2**32 - 1)


@pytest.mark.parametrize("kind", KINDS)
def test_any_descriptor_may_come_in_any_place(
    house: House, kind: str, possible: Callable[[str], None]
) -> None:
    """It is refused, or it is used and serves only its own machine."""
    possible(kind)
    with (
        house.misdeed(),  # what hangs in a file that does not answer is gone when the file has let go
        Hands() as hands,
        Machine(house.socket_path, memory=GuestMemory(MiB)) as other,
    ):
        hands.others = other_machines_descriptors(other, hands)
        for place in PLACES:
            _hand_over(house, hands, kind, place)
        house.check()


def _hand_over(house: House, hands: Hands, kind: str, place: str) -> None:
    """To a session that has just started, which refuses most; and what it does not refuse, to a
    guest at work.
    """
    with HostileVmm(house.socket_path) as vmm:
        hands.own = vmm.own
        vmm.hand_over(place, KINDS[kind](hands), hands.between)
        if vmm.outcome() == "the end":
            return
    with HostileVmm(house.socket_path) as vmm:
        vmm.start()
        hands.own = vmm.own
        vmm.hand_over(place, KINDS[kind](hands), hands.between)
        vmm.outcome()
        hands.after()
        vmm.work()
        vmm.message(Request.GET_QUEUE_NUM)
        vmm.outcome(0.02)


@pytest.mark.parametrize("size", SIZES)
def test_any_request_may_come_with_any_size(house: House, size: int) -> None:
    with house.misdeed():
        for request in REQUESTS:
            with HostileVmm(house.socket_path) as vmm:
                vmm.message(request, os.urandom(min(size, 5000)), size=size)
                vmm.message(Request.GET_QUEUE_NUM)


@pytest.mark.parametrize("flags", FLAGS)
def test_any_request_may_come_with_any_flags(house: House, flags: int) -> None:
    with house.misdeed():
        for request in REQUESTS:
            with HostileVmm(house.socket_path) as vmm:
                vmm.message(request, bytes(8), flags=flags)
                vmm.message(Request.GET_QUEUE_NUM)


def test_messages_may_stop_in_the_middle(house: House) -> None:
    with house.misdeed(), Hands() as hands:
        silent = [hands.enter_context(HostileVmm(house.socket_path)) for _ in REQUESTS]
        for vmm, request in zip(silent, REQUESTS, strict=True):
            vmm.half(request, [vmm.guest.control.kick_fd] * 10)
        house.check()


def test_requests_may_come_in_a_flood_whose_answers_nobody_reads(house: House) -> None:
    with house.misdeed():
        for request in (
            *(Request.GET_FEATURES, Request.GET_CONFIG, Request.SET_OWNER),
            *(Request.GET_QUEUE_NUM, Request.RESET_DEVICE, Request.SET_STATUS),
        ):
            with HostileVmm(house.socket_path) as vmm:
                vmm.start()
                payload = struct.pack("=3I", 0, 20, 0) + bytes(20)
                vmm.flood(request, payload if request == Request.GET_CONFIG else bytes(8))
                house.check()


@pytest.mark.parametrize("place", list(PLACES))
def test_descriptors_may_come_in_a_flood(house: House, place: str) -> None:
    request, payload = PLACES[place]
    with house.misdeed(), HostileVmm(house.socket_path) as vmm:
        vmm.start()
        for _ in range(200):
            vmm.message(request, payload, [vmm.guest.control.call_fd] * 100)
        house.check()
