# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Machines for the tests, ended with them; what a failed test leaves to look at."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from .cursor import CursorPicture
from .daemon import IN_QEMU, Daemon, chosen_backend
from .machine import IN_PROCESS, IN_PROCESS_OF, Listener, Machine, MachineOptions
from .screens import cursor_arguments, shown
from .wiretap import Wiretap

ROOT = Path(__file__).resolve().parents[2]


class Workshop:
    """Makes daemons and machines, and ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: list[Daemon] = []
        self.wiretaps: list[Wiretap] = []
        self.machines: list[Machine] = []

    def daemon(self, options: Sequence[str] = (), program: Sequence[str] = ()) -> Daemon:
        path = self.folder / f"{len(self.daemons)}.sock"
        daemon = Daemon(path, options=options, program=program)
        self.daemons.append(daemon)
        return daemon

    def following(self, dead: Daemon) -> Daemon:
        """The next daemon where one has died."""
        daemon = Daemon(dead.socket_path)
        self.daemons.append(daemon)
        return daemon

    def wiretap(self, daemon: Daemon) -> Wiretap:
        wiretap = Wiretap(self.folder / f"tap-{len(self.wiretaps)}.sock", daemon.socket_path)
        self.wiretaps.append(wiretap)
        return wiretap

    def machine(
        self, daemon: Listener | None = None, options: MachineOptions | None = None, name: str = ""
    ) -> Machine:
        """A machine whose GPU a daemon of its own serves, unless one is given."""
        options = options or MachineOptions()
        if chosen_backend() == IN_QEMU:
            device = IN_PROCESS_OF.get(options.device, options.device)
            daemon, options = None, replace(options, device=device)
        elif daemon is None and options.device in IN_PROCESS_OF:
            daemon = self.daemon()
        name = name or f"machine-{len(self.machines)}"
        machine = Machine(self.folder, name, daemon, options)
        self.machines.append(machine)
        return machine

    def ready_machine(
        self,
        daemon: Listener | None = None,
        options: MachineOptions | None = None,
        name: str = "",
        as_it_boots: Callable[[Machine], None] = lambda machine: None,
    ) -> Machine:
        """One that takes commands, and that ``as_it_boots`` has looked at before.  Where QEMU lost a race of its own as it booted,
        another is started, and the first one's logs are kept with those of failed tests.
        """
        while True:
            machine = self.machine(daemon, options, name)
            try:
                as_it_boots(machine)
                machine.wait_ready()
            except (TimeoutError, ConnectionError):
                if not machine.lost_own_race():
                    raise
                machine.save_evidence(evidence_folder() / "lost-races" / self.folder.name)
            else:
                return machine

    def save_evidence(self, folder: Path) -> None:
        for machine in self.machines:
            machine.save_evidence(folder)
        for number, daemon in enumerate(self.daemons):
            (folder / f"daemon-{number}.log").write_text(daemon.process.log.text())
        for picture in self.folder.glob("*.png"):
            (folder / picture.name).write_bytes(picture.read_bytes())

    def close(self) -> None:
        for machine in self.machines:
            machine.kill()
        for wiretap in self.wiretaps:
            wiretap.close()
        for daemon in self.daemons:
            daemon.close()


live_workshops: list[Workshop] = []


def _workshop() -> Iterator[Workshop]:
    # A socket's path must be short; pytest's folders have long names.
    with tempfile.TemporaryDirectory(prefix="vgpud-e2e-") as folder:
        workshop = Workshop(Path(folder))
        live_workshops.append(workshop)
        try:
            yield workshop
        finally:
            live_workshops.remove(workshop)
            workshop.close()


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    """For the machines of one test."""
    yield from _workshop()


@pytest.fixture(scope="module")
def shared_workshop() -> Iterator[Workshop]:
    """For the machines that the tests of a module look at one after the other."""
    yield from _workshop()


@pytest.fixture(scope="session")
def reference_machine() -> Iterator[Machine]:
    """The same guest with the GPU that QEMU emulates itself: what a screen has to look like."""
    for workshop in _workshop():
        yield workshop.ready_machine(
            options=MachineOptions(device=IN_PROCESS, outputs=2, display="dbus,p2p=on"),
            name="reference",
        )


@pytest.fixture(scope="session")
def reference_cursor(reference_machine: Machine) -> CursorPicture:
    """modetest's cursor as QEMU hands it to a viewer."""
    cursor = reference_machine.dbus_display().console().cursor
    with shown(reference_machine, cursor_arguments(reference_machine)):
        cursor.wait(lambda cursor: len(set(cursor.positions)) > 4, "moved")
    assert cursor.picture is not None
    assert any(cursor.picture.pixels)
    return cursor.picture


@pytest.fixture
def only_vgpud() -> None:
    """For what is the daemon's own."""
    if chosen_backend() != "vgpud":
        pytest.skip("nothing but vgpud does this")


@pytest.fixture
def not_c_peer() -> None:
    """For what QEMU's C backend does not survive."""
    if chosen_backend() == "c-peer":
        pytest.skip("the C backend cannot do this")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and live_workshops:
        folder = evidence_folder() / re.sub(r"\W+", "-", item.name)
        folder.mkdir(parents=True, exist_ok=True)
        for workshop in live_workshops:
            workshop.save_evidence(folder)
        report.sections.append(("evidence", f"logs and screens: {folder}"))
    return report


def evidence_folder() -> Path:
    """E2E_EVIDENCE: where failed tests leave logs and pictures."""
    chosen = os.environ.get("E2E_EVIDENCE")
    return Path(chosen).absolute() if chosen else ROOT / "build/e2e"


Report = Callable[[str], None]


@pytest.fixture
def report(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Report:
    """Prints a measured value past pytest's capture: as an error, since what a worker of pytest-xdist prints otherwise is lost."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {request.node.name}: {text}", file=sys.stderr, flush=True)

    return say
