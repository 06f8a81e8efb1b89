# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a machine, its driver and its processes do to the device while they live and die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ..daemon.running import is_running, show, status
from ..driver.backend import Machine as Driver
from . import parts
from .conftest import Report, Workshop
from .daemon import Daemon, chosen_backend
from .machine import Machine, MachineOptions
from .process import wait_until
from .screens import (
    assert_console_is_readable,
    assert_shows,
    connectors,
    modetest_arguments,
    reference,
    shown,
    write_text,
)

MODE = (1024, 768)


def assert_works(machine: Machine, reference_machine: Machine, title: str) -> None:
    """Text and a pattern reach the screen."""
    write_text(machine, title)
    assert_console_is_readable(machine)
    expected = reference(reference_machine, MODE, "smpte")
    with shown(machine, modetest_arguments({connectors(machine)[0]: MODE}, "smpte")):
        assert_shows(machine, expected)


def device_process(daemon: Daemon) -> int:
    """The one device process there is."""
    wait_until(lambda: len(daemon.device_processes()) == 1, "one device process")
    return daemon.device_processes()[0]


@pytest.fixture(scope="module", params=["QEMU", "QEMU 11.1"])
def machine(shared_workshop: Workshop, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Each test below that takes it runs on both."""
    qemu = parts.newest_qemu() if request.param == "QEMU 11.1" else parts.system_qemu()
    machine = shared_workshop.ready_machine(options=MachineOptions(qemu=qemu))
    yield machine
    machine.kill()


@pytest.mark.usefixtures("not_c_peer")
def test_the_screen_goes_on_after_stop_and_cont(
    machine: Machine, reference_machine: Machine
) -> None:
    """A new display socket comes with `cont`, which the C backend does not survive."""
    write_text(machine, "before the stop")
    before = assert_console_is_readable(machine)
    machine.qmp.execute("stop")
    assert_shows(machine, before)
    machine.qmp.execute("cont")
    assert_shows(machine, before)
    assert_works(machine, reference_machine, "after the stop")


@pytest.mark.usefixtures("not_c_peer")
def test_flips_go_on_after_stops_in_their_midst(
    machine: Machine, reference_machine: Machine
) -> None:
    arguments = f"-M virtio_gpu -v -s {connectors(machine)[0]}:1024x768 -F smpte"
    pictures = [reference(reference_machine, MODE, pattern) for pattern in ("smpte", "plain")]
    with shown(machine, arguments):
        for _ in range(5):
            machine.qmp.execute("stop")
            time.sleep(0.05)
            machine.qmp.execute("cont")
            for picture in pictures:
                machine.wait_picture(lambda shown: shown == picture, "flipped")  # noqa: B023
    assert_works(machine, reference_machine, "after the stops")


@pytest.mark.usefixtures("not_c_peer")
def test_a_driver_can_be_unbound_and_bound_again(
    machine: Machine, reference_machine: Machine
) -> None:
    driver = "/sys/bus/virtio/drivers/virtio_gpu"
    for turn in range(2):
        device = machine.guest.run(f"cd {driver}; echo virtio*").strip()
        machine.guest.run(f"echo {device} >{driver}/unbind")
        machine.guest.run(f"echo {device} >{driver}/bind")
        machine.guest.run("until [ -e /dev/fb0 ]; do sleep 0.1; done", 10)
        assert_works(machine, reference_machine, f"bound again {turn}")


@pytest.mark.usefixtures("only_vgpud")
@pytest.mark.parametrize("moment", ["with text on the screen", "between two flips"])
def test_the_screen_survives_the_death_of_the_device_process(
    machine: Machine,
    reference_machine: Machine,
    shared_workshop: Workshop,
    moment: str,
    report: Report,
) -> None:
    daemon = shared_workshop.daemons[-1]
    before_death = device_process(daemon)
    if moment == "with text on the screen":
        write_text(machine, "outlives its device")
        before = assert_console_is_readable(machine)
        os.kill(before_death, signal.SIGKILL)
        wait_until(lambda: daemon.device_processes() not in ([], [before_death]), "another process")
        machine.guest.run("printf x >/dev/tty1; printf '\\b \\b' >/dev/tty1")
        assert_shows(machine, before)
    else:
        pictures = [reference(reference_machine, MODE, pattern) for pattern in ("smpte", "plain")]
        arguments = f"-M virtio_gpu -v -s {connectors(machine)[0]}:1024x768 -F smpte"
        with shown(machine, arguments):
            for _ in range(3):
                machine.wait_picture(lambda picture: picture in pictures, "flipped")
                killed = device_process(daemon)
                started = time.monotonic()
                os.kill(killed, signal.SIGKILL)
                wait_until(lambda: daemon.device_processes() not in ([], [killed]), "another one")  # noqa: B023
                for picture in pictures:
                    machine.wait_picture(lambda shown: shown == picture, "flipped")  # noqa: B023
                report(f"flips again {time.monotonic() - started:.2f} s after the death")
    assert_works(machine, reference_machine, "after the device process's death")


@pytest.mark.usefixtures("not_c_peer")
@pytest.mark.parametrize("how", ["by the guest", "by the machine"])
def test_a_reboot_gets_its_screen_back(
    machine: Machine, reference_machine: Machine, how: str
) -> None:
    if how == "by the guest":
        machine.guest.send("reboot -f")
    else:
        machine.qmp.execute("system_reset")
    machine.wait_ready()
    assert_works(machine, reference_machine, f"rebooted {how}")


@pytest.mark.usefixtures("not_c_peer")
def test_a_screen_goes_on_after_a_migration_has_copied_the_memory(
    machine: Machine, reference_machine: Machine
) -> None:
    """QEMU has the device log what it writes to memory, stops the machine, and lets it go on here."""
    with shown(machine, f"-M virtio_gpu -v -s {connectors(machine)[0]}:1024x768 -F smpte"):
        machine.qmp.execute("migrate", uri="exec:cat >/dev/null")
        wait_until(lambda: migration_status(machine) in ("completed", "failed"), "the copy", 60)
        assert migration_status(machine) == "completed"
        machine.qmp.execute("cont")
        for pattern in ("smpte", "plain"):
            expected = reference(reference_machine, MODE, pattern)
            machine.wait_picture(lambda shown: shown == expected, "flipped")  # noqa: B023
    assert_works(machine, reference_machine, "after the copy")


def migration_status(machine: Machine) -> str:
    return str(machine.qmp.execute("query-migrate").get("status"))


@pytest.mark.usefixtures("only_vgpud")
def test_a_killed_qemu_leaves_the_daemon_ready_for_the_next(
    workshop: Workshop, reference_machine: Machine
) -> None:
    daemon = workshop.daemon()
    killed = workshop.ready_machine(daemon)
    write_text(killed, "to be killed")
    assert_console_is_readable(killed)
    killed.process.send_signal(signal.SIGKILL)
    wait_until(lambda: not daemon.device_processes(), "its device process to end")
    following = workshop.ready_machine(daemon)
    assert_works(following, reference_machine, "the next one")
    assert following.power_off() == 0
    wait_until(lambda: not daemon.device_processes(), "the device process to end")


@pytest.mark.usefixtures("only_vgpud")
def test_two_machines_on_one_daemon_show_a_picture_each(
    workshop: Workshop, reference_machine: Machine
) -> None:
    daemon = workshop.daemon()
    first, second = workshop.machine(daemon), workshop.machine(daemon)
    for machine in (first, second):
        machine.wait_ready()
        write_text(machine, machine.name)
    assert len(daemon.device_processes()) == 2
    assert assert_console_is_readable(first) != assert_console_is_readable(second)
    first.kill()
    wait_until(lambda: len(daemon.device_processes()) == 1, "the first one's end")
    assert_works(second, reference_machine, "alone now")


@pytest.mark.usefixtures("only_vgpud")
def test_the_daemon_s_death_under_ten_machines_costs_none_of_them_a_frame(
    workshop: Workshop, reference_machine: Machine, report: Report
) -> None:
    daemon = workshop.daemon()
    linux = workshop.ready_machine(daemon)
    write_text(linux, "before the daemon's death")
    assert_console_is_readable(linux)
    with ExitStack() as others:
        nine = [others.enter_context(Driver(daemon.socket_path)) for _ in range(9)]
        for driver in nine:
            show(driver)
        sessions = daemon.session_processes()
        with shown(linux, modetest_arguments({connectors(linux)[0]: MODE}, "smpte")):
            assert_shows(linux, reference(reference_machine, MODE, "smpte"))
            daemon.process.send_signal(signal.SIGKILL)
            wait_until(lambda: daemon.process.exit_code is not None, "the daemon's death")
        for driver in nine:
            show(driver)
        assert_works(linux, reference_machine, "without a daemon")
        began = time.monotonic()
        following = workshop.following(daemon)
        served = status(following.socket_path)["machines"]
        report(f"ten machines are served on {time.monotonic() - began:.2f} s after the next start")
        assert sorted(one["session_process"] for one in served) == sorted(sessions)
        assert all(one["answers"] for one in served)
        assert_works(linux, reference_machine, "with the next daemon")
        for driver in nine:
            show(driver)
        begin = time.monotonic()
        assert following.terminate(timeout=2) == 0
        assert time.monotonic() - begin < 1
        assert all(driver.frontend.disconnected() for driver in nine)
        assert not any(is_running(session) for session in sessions)


@pytest.mark.usefixtures("only_vgpud")
def test_sigterm_ends_the_daemon_within_a_second_under_a_running_machine(
    workshop: Workshop,
) -> None:
    daemon = workshop.daemon()
    workshop.ready_machine(daemon)
    children = [*daemon.session_processes(), *daemon.device_processes()]
    assert len(children) == 2
    assert daemon.terminate(timeout=1) == 0
    assert not daemon.socket_path.exists()
    wait_until(lambda: not any(map(is_running, children)), "their end")


def test_a_machine_works_and_powers_off(workshop: Workshop, reference_machine: Machine) -> None:
    machine = workshop.ready_machine(options=MachineOptions(processors=1))
    assert_works(machine, reference_machine, f"served by {chosen_backend()}")
    assert machine.power_off() == 0
