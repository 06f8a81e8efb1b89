# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The units, as an administrator and a virtual machine use them."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from vgpud.ctl.setup import put, take_back
from vgpud.ctl.setup_files import Place
from vgpud.tree.process import SLICE_NANOSECONDS

from ..daemon.running import (
    NAMED_VMM,
    devices,
    is_running,
    sessions,
    show,
    spawner,
    status,
    tree,
    wait_until,
)
from ..driver.backend import Machine
from ..driver.turns import needs_slices, turns_of_process
from .booted import DROP_IN, Systemd, hidden, needed_places

# Connects to a socket, and says whether that was possible.
CONNECT = "import socket, sys; print(socket.socket(socket.AF_UNIX).connect_ex(sys.argv[1]))"
NOBODY = 65534


def served(systemd: Systemd, unit: str) -> bool:
    return "no machine" not in systemd.property(unit, "StatusText")


def test_the_service_of_a_host_is_up_when_systemd_says_so(systemd: Systemd) -> None:
    systemd.do("start", "vgpud.service")
    assert systemd.ask("is-active", "vgpud.service") == "active"
    assert systemd.property("vgpud.service", "StatusText") == "2D in software; no machine"
    with Machine(systemd.path("/run/vgpud/vgpud.sock")) as machine:
        show(machine)
        assert "; 1 machine: 1, process" in systemd.property("vgpud.service", "StatusText")
    assert wait_until(lambda: not served(systemd, "vgpud.service"))
    begin = time.monotonic()
    systemd.do("stop", "vgpud.service")
    assert time.monotonic() - begin < 2
    assert systemd.property("vgpud.service", "Result") == "success"
    assert not systemd.path("/run/vgpud/vgpud.sock").exists()


@needs_slices
def test_a_session_of_the_unit_takes_short_turns(systemd: Systemd) -> None:
    systemd.do("start", "vgpud.service")
    with Machine(systemd.path("/run/vgpud/vgpud.sock")):
        (session,) = sessions(systemd.main_process("vgpud.service"))
        assert {turns.slice for turns in turns_of_process(session)} == {SLICE_NANOSECONDS}
    systemd.do("stop", "vgpud.service")


def test_a_machine_has_its_unit_s_name_where_its_vmm_is_hidden(systemd: Systemd) -> None:
    """And the one that its VMM says, as without systemd, where that is seen."""
    path = systemd.path("/run/vgpud/vgpud.sock")
    vmm = (sys.executable, "-c", NAMED_VMM, "/run/vgpud/vgpud.sock", "-name", "guest=said")
    scope = (
        "systemd-run",
        "--scope",
        "--slice=machine.slice",
        r"--unit=machine-qemu\x2d7\x2dweb.scope",
    )

    def names() -> list[str]:
        return [machine["lasting_name"] for machine in status(path)["machines"]]

    systemd.do("start", "vgpud.service")
    with systemd.running(*scope, *vmm):
        assert wait_until(lambda: names() == ["web"]), names()
        with systemd.running(*vmm):
            assert wait_until(lambda: names() == ["web", "2"]), names()
    systemd.do("stop", "vgpud.service")
    systemd.add_to("vgpud.service", "[Service]\nProtectProc=default\n")
    systemd.do("start", "vgpud.service")
    with systemd.running(*scope, *vmm):
        assert wait_until(lambda: names() == ["said"]), names()
    systemd.do("stop", "vgpud.service")
    systemd.add_to("vgpud.service", "")


def test_two_instances_run_at_once_each_with_its_configuration(systemd: Systemd) -> None:
    systemd.configure("one", "[log]\nlevel = 'debug'\n")
    systemd.configure("two", "[renderer]\nmode = 'null'\n")
    systemd.do("start", "vgpud@one.service", "vgpud@two.service")
    with Machine(systemd.socket("one")) as one, Machine(systemd.socket("two")) as two:
        show(one)
        assert two.guest.create_2d(8, 8).resource_id
        assert systemd.property("vgpud@two.service", "StatusText").startswith(
            "a renderer that draws nothing"
        )
        systemd.do("stop", "vgpud@two.service")
        assert two.frontend.disconnected()
        show(one)
    for name in ("one", "two"):
        lines = systemd.log(name).splitlines()
        assert lines
        assert all(f" {name}: " in line for line in lines)
    systemd.do("stop", "vgpud@one.service")


def test_qemu_s_user_may_connect_and_others_may_not(systemd: Systemd) -> None:
    systemd.do("start", "vgpud@door.service")
    listed = systemd.path("/etc/group").read_text().splitlines()
    kvm = next(line.split(":")[2] for line in listed if line.startswith("kvm:"))

    def connect(*groups: int) -> str:
        return subprocess.run(
            ["nsenter", f"--target={systemd.pid}", "--mount", "setpriv", f"--reuid={NOBODY}",
             f"--regid={NOBODY}", f"--groups={','.join(map(str, (NOBODY, *groups)))}",
             sys.executable, "-c", CONNECT, "/run/vgpud/door/vgpud.sock"],
            capture_output=True, text=True, check=False, timeout=10,
        ).stdout.strip()  # fmt: skip

    assert connect(int(kvm)) == "0"
    assert connect() != "0"
    systemd.do("stop", "vgpud@door.service")


def test_nothing_in_it_can_gain_privileges(systemd: Systemd) -> None:
    systemd.do("start", "vgpud@walled.service")
    daemon = systemd.main_process("vgpud@walled.service")
    with Machine(systemd.socket("walled")) as machine:
        show(machine)
        for number in (daemon, *tree(daemon)):
            status = Path(f"/proc/{number}/status").read_text()
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert fields["NoNewPrivs"] == "1"
            assert fields["Seccomp"] == "2"
            assert {int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {0}
            assert "0" not in fields["Uid"].split()
        # On top of the unit's own, each process of the machine has its list.
        for number in (*sessions(daemon), *devices(daemon)):
            assert filters(number) == filters(daemon) + 1
        assert "not confined in full" not in systemd.log("walled")
    systemd.do("stop", "vgpud@walled.service")


def filters(process_id: int) -> int:
    """Of seccomp."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("Seccomp_filters:\t")[2].split()[0])


def test_daemon_and_spawner_die_last_when_memory_runs_out(systemd: Systemd) -> None:
    systemd.do("start", "vgpud@last.service")
    number = systemd.main_process("vgpud@last.service")

    def points(process_id: int) -> int:
        return int(Path(f"/proc/{process_id}/oom_score_adj").read_text())

    with Machine(systemd.socket("last")) as machine:
        show(machine)
        assert points(number) == points(spawner(number)) <= 0
        assert list(map(points, sessions(number))) == [50]
        assert list(map(points, devices(number))) == [100]
    systemd.do("stop", "vgpud@last.service")


def test_a_reload_takes_over_what_can_change_and_names_what_cannot(systemd: Systemd) -> None:
    systemd.configure("changing", "[log]\nlevel = 'warning'\n")
    systemd.do("start", "vgpud@changing.service")
    with Machine(systemd.socket("changing")) as machine:
        show(machine)
        systemd.configure("changing", "[log]\nlevel = 'info'\n[renderer]\nmode = 'null'\n")
        systemd.do("reload", "vgpud@changing.service")
        assert wait_until(lambda: "read again: log.level" in systemd.log("changing"))
        assert "renderer.mode has changed: restart vgpud to apply it" in systemd.log("changing")
        assert wait_until(lambda: systemd.ask("is-active", "vgpud@changing.service") == "active")
        show(machine)
    systemd.configure("changing", "[log]\nlevel = 'loud'\n")
    systemd.do("reload", "vgpud@changing.service")
    assert wait_until(lambda: "stays as it is: " in systemd.log("changing"))
    with Machine(systemd.socket("changing")) as machine:
        show(machine)
    systemd.do("stop", "vgpud@changing.service")


def test_a_daemon_that_crashes_is_started_again_and_goes_on_with_its_machines(
    systemd: Systemd,
) -> None:
    unit = "vgpud@crashing.service"
    systemd.do("start", unit)
    with ExitStack() as machines:
        ten = [machines.enter_context(Machine(systemd.socket("crashing"))) for _ in range(10)]
        for machine in ten:
            show(machine)
        below = [*sessions(systemd.main_process(unit)), *devices(systemd.main_process(unit))]
        assert len(below) == 20
        os.kill(systemd.main_process(unit), signal.SIGKILL)
        for machine in ten:
            show(machine)
        assert wait_until(lambda: systemd.property(unit, "NRestarts") == "1")
        assert wait_until(lambda: systemd.ask("is-active", unit) == "active")
        served = status(systemd.socket("crashing"))["machines"]
        assert all(map(is_running, below))
        assert [one["answers"] for one in served] == [True] * 10
        assert "; 10 machines: crashing" in systemd.property(unit, "StatusText")
        with Machine(systemd.socket("crashing")) as another:
            show(another)
            served = status(systemd.socket("crashing"))["machines"]
            assert [one["number"] for one in served] == list(range(1, 12))
            assert {one["name"].partition(",")[0] for one in served} == {"crashing"}
        for machine in ten:
            show(machine)
        begin = time.monotonic()
        systemd.do("stop", unit)
        assert time.monotonic() - begin < 2
        assert all(machine.frontend.disconnected() for machine in ten)
        assert wait_until(lambda: not any(map(is_running, below)), 1)


def test_the_watchdog_sees_a_daemon_that_hangs_and_leaves_one_whose_machines_do(
    systemd: Systemd,
) -> None:
    unit = "vgpud@hanging.service"
    systemd.add_to(unit, "[Service]\nWatchdogSec=2\n")
    systemd.do("start", unit)
    daemon = systemd.main_process(unit)
    with Machine(systemd.socket("hanging")) as machine:
        show(machine)
        for hanging in [*devices(daemon), *sessions(daemon)]:
            os.kill(hanging, signal.SIGSTOP)
            time.sleep(3)
            assert systemd.main_process(unit) == daemon
            os.kill(hanging, signal.SIGCONT)
            show(machine)
        os.kill(daemon, signal.SIGSTOP)
        assert wait_until(lambda: systemd.property(unit, "NRestarts") == "1", 10)
        show(machine)
        assert wait_until(lambda: systemd.ask("is-active", unit) == "active")
        assert len(status(systemd.socket("hanging"))["machines"]) == 1
        show(machine)
    with Machine(systemd.socket("hanging")) as machine:
        show(machine)
    systemd.do("stop", unit)


def test_a_machine_that_connects_starts_its_daemon(systemd: Systemd) -> None:
    systemd.do("start", "vgpud@asleep.socket")
    for _ in range(2):
        assert systemd.ask("is-active", "vgpud@asleep.service") == "inactive"
        with Machine(systemd.socket("asleep")) as machine:
            show(machine)
            assert systemd.ask("is-active", "vgpud@asleep.service") == "active"
        systemd.do("stop", "vgpud@asleep.service")
    systemd.do("stop", "vgpud@asleep.socket")
    assert not systemd.socket("asleep").exists()


def test_a_renderer_that_is_not_there_is_not_tried_again(systemd: Systemd) -> None:
    systemd.configure("impossible", "[renderer]\nmode = 'gfxstream'\n")
    assert systemd.systemctl("start", "vgpud@impossible.service").returncode != 0
    assert systemd.property("vgpud@impossible.service", "ExecMainStatus") == "69"
    time.sleep(0.3)
    assert systemd.ask("is-active", "vgpud@impossible.service") == "failed"
    assert systemd.property("vgpud@impossible.service", "NRestarts") == "0"


def test_opengl_starts_within_the_unit_s_walls(systemd: Systemd) -> None:
    tried = subprocess.run(
        [sys.executable, "-m", "vgpud", "--print-capabilities"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    if '"virgl"' not in tried.stdout:
        pytest.skip("no libvirglrenderer that starts here")
    systemd.configure("gl", "[renderer]\nmode = 'virglrenderer'\n")
    systemd.do("start", "vgpud@gl.service")
    with Machine(systemd.socket("gl")) as machine:
        show(machine)
    assert "virgl" in systemd.property("vgpud@gl.service", "StatusText").lower()
    systemd.do("stop", "vgpud@gl.service")


def test_a_program_in_a_home_is_started_by_the_units_that_setup_writes(systemd: Systemd) -> None:
    program = systemd.path("/root/venv/bin/vgpud")
    program.parent.mkdir(parents=True)
    systemd.path("/usr/bin/vgpud").rename(program)
    own = systemd.path("/etc/systemd/system/vgpud.service")
    before = own.read_text()
    # Doors that other tests need open, but for what is tested.
    drop_in = systemd.path("/etc/systemd/system/vgpud.service.d/log.conf")
    doors = drop_in.read_text()
    shown = "".join(f"BindReadOnlyPaths={place}\n" for place in hidden(needed_places()))
    drop_in.write_text(DROP_IN + shown)
    place = Place(Path("/root/venv/bin/vgpud"), 0, {}, systemd.path("/"))
    said: list[str] = []
    try:
        put(place, True, said.append, lambda question: False)
        systemd.do("daemon-reload")
        systemd.do("start", "vgpud.service")
        with Machine(systemd.path("/run/vgpud/vgpud.sock")) as machine:
            show(machine)
        systemd.do("stop", "vgpud.service")
    finally:
        program.rename(systemd.path("/usr/bin/vgpud"))
        drop_in.write_text(doors)
        take_back(place, True, said.append, lambda question: False)
        systemd.do("daemon-reload")
    assert own.read_text() == before
    assert not systemd.path("/etc/qemu/vhost-user/10-vgpud-gpu.json").exists()
