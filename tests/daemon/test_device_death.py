# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device process is killed at any moment of a guest's hard work; the guest hardly notices."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..driver import commands
from ..driver.backend import Backend, Machine
from ..driver.commands import Rectangle, ResponseType
from ..driver.gpu import Resource
from ..driver.queue import Pending
from .running import devices

WIDTH, HEIGHT = 256, 192
DEATHS = 12
IN_FLIGHT = 12

CONFIGURATION = """
[device_process]
restarts = 1000
restart_window = 1.0
restart_delay = 0.01
"""


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    configuration = tmp_path / "vgpud.toml"
    configuration.write_text(CONFIGURATION)
    arguments = [sys.executable, "-m", "vgpud", "--config", str(configuration), "--socket-path"]
    with Backend(lambda socket_path: [*arguments, socket_path]) as made:
        yield made


class Worker:
    """A guest that always has commands in flight and knows what each may be answered."""

    def __init__(self, machine: Machine, seed: int) -> None:
        self.machine = machine
        self.random = random.Random(seed)
        self.shown = machine.guest.create_2d(WIDTH, HEIGHT)
        machine.guest.set_scanout(0, self.shown)
        self.in_flight: list[Pending] = []
        self.answers = {ResponseType.OK_NODATA: 0, ResponseType.ERR_UNSPEC: 0}

    def work(self, commands_: int) -> None:
        """Keeps the queue filled until that many commands have been submitted."""
        for _ in range(commands_):
            if len(self.in_flight) == IN_FLIGHT:
                self._wait(self.in_flight.pop(0))
            self.in_flight.append(self.machine.guest.submit(self._command()))

    def _command(self) -> bytes:
        x, y = self.random.randrange(WIDTH), self.random.randrange(HEIGHT)
        width, height = (self.random.randint(1, end) for end in (WIDTH - x, HEIGHT - y))
        area = Rectangle(x, y, width, height)
        number = self.shown.resource_id
        if self.random.random() < 0.5:
            return commands.transfer_to_host_2d(number, area, (y * WIDTH + x) * 4, fence_id=7)
        if self.random.random() < 0.5:
            return commands.resource_flush(number, area)
        return commands.set_scanout(0, number, self.shown.whole)

    def _wait(self, pending: Pending) -> None:
        # A command is carried out, or was in flight when the process died; nothing else.
        self.answers[ResponseType(self.machine.guest.wait(pending).type)] += 1

    def rest(self) -> None:
        """Waits for all that is in flight."""
        while self.in_flight:
            self._wait(self.in_flight.pop(0))

    def show(self, resource: Resource, seed: int) -> bytes:
        """A new picture, drawn as a driver does that repeats what was answered with an error."""
        pixels = random.Random(seed).randbytes(WIDTH * HEIGHT * 4)
        self.machine.guest.draw(resource, resource.whole, pixels)
        for request in (
            commands.transfer_to_host_2d(resource.resource_id, resource.whole),
            commands.resource_flush(resource.resource_id, resource.whole),
        ):
            while not self.machine.guest.ask(request).ok:
                pass
        return pixels


@pytest.mark.parametrize(
    "rings",
    [
        {},
        {"event_idx": True, "indirect": True},
        {"packed": True, "event_idx": True, "indirect": True},
    ],
    ids=["split", "split, event index", "packed"],
)
def test_every_command_is_answered_once_and_the_picture_is_right(
    backend: Backend, rings: dict[str, bool]
) -> None:
    with Machine(backend.socket_path, guest=rings | {"timeout": 20.0}) as machine:
        worker = Worker(machine, seed=1)
        killed: set[int] = set()
        for death in range(DEATHS):
            worker.work(worker.random.randint(1, 300))
            [process_id] = set(devices(backend.process.pid)) - killed or {0}
            if process_id:
                os.kill(process_id, signal.SIGKILL)
                killed.add(process_id)
            worker.work(worker.random.randint(1, 40))
            worker.rest()
            pixels = worker.show(worker.shown, death)
            assert machine.display.wait_for_picture(0, pixels)
        assert len(killed) == DEATHS
        # At most what was in flight is lost, and something is done between two deaths.
        assert worker.answers[ResponseType.ERR_UNSPEC] <= DEATHS * IN_FLIGHT
        assert worker.answers[ResponseType.OK_NODATA] > 0
        assert machine.display.violations == []


def test_a_stop_that_meets_a_death_loses_nothing(backend: Backend) -> None:
    with Machine(backend.socket_path, guest={"timeout": 20.0}) as machine:
        worker = Worker(machine, seed=2)
        for death in range(6):
            worker.work(20)
            for process_id in devices(backend.process.pid):
                os.kill(process_id, signal.SIGKILL)
            machine.stop()
            machine.cont()
            # What was in flight, and what was not even looked at.
            worker.rest()
            pixels = worker.show(worker.shown, death)
            assert machine.display.wait_for_picture(0, pixels)


def test_a_reboot_after_a_death_begins_with_nothing(backend: Backend) -> None:
    with Machine(backend.socket_path, guest={"timeout": 20.0}) as machine:
        first = machine.guest.create_2d(WIDTH, HEIGHT)
        for process_id in devices(backend.process.pid):
            os.kill(process_id, signal.SIGKILL)
        machine.reboot()
        # The number is free again, and what it was is forgotten.
        second = machine.guest.create_2d(WIDTH, HEIGHT)
        assert second.resource_id == first.resource_id
        machine.guest.show(second)


def test_a_device_that_dies_too_often_is_given_up_and_the_daemon_serves_the_next(
    backend: Backend, tmp_path: Path
) -> None:
    (tmp_path / "few.toml").write_text("[device_process]\nrestarts = 1\nrestart_window = 3600.0\n")
    arguments = [sys.executable, "-m", "vgpud", "--config", str(tmp_path / "few.toml")]
    with Backend(lambda path: [*arguments, "--socket-path", path]) as few:
        with Machine(few.socket_path) as machine:
            machine.guest.create_2d(8, 8)
            for _ in range(2):
                for process_id in devices(few.process.pid):
                    os.kill(process_id, signal.SIGKILL)
                _wait_for(lambda: "ended with SIGKILL" in few.log)
            _wait_for(lambda: "died too often" in few.log or bool(devices(few.process.pid)))
            for process_id in devices(few.process.pid):
                os.kill(process_id, signal.SIGKILL)
            _wait_for(lambda: "died too often" in few.log)
            # The VMM still gets its answers.
            machine.stop()
        with Machine(few.socket_path) as machine:
            machine.guest.show(machine.guest.create_2d(8, 8))


def test_the_screen_goes_on_at_once(tmp_path: Path) -> None:
    configuration = tmp_path / "vgpud.toml"
    configuration.write_text("[device_process]\nrestarts = 1000\nrestart_delay = 0.0\n")
    arguments = [sys.executable, "-m", "vgpud", "--config", str(configuration), "--socket-path"]
    with (
        Backend(lambda path: [*arguments, path]) as backend,
        Machine(backend.socket_path) as machine,
    ):
        guest = machine.guest
        resource = guest.create_2d(1024, 768)
        guest.show(resource)
        lost = []
        for turn in range(9):
            pixels = bytes([turn]) * (1024 * 768 * 4)
            guest.draw(resource, resource.whole, pixels)
            [killed] = devices(backend.process.pid)
            began = time.monotonic()
            os.kill(killed, signal.SIGKILL)
            guest.transfer(resource)
            guest.flush(resource)
            lost.append(time.monotonic() - began)
            assert machine.display.wait_for_picture(0, pixels)
    # Some 22 ms where nobody else is at work.
    assert sorted(lost)[len(lost) // 2] < 0.1, lost


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
