# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the spawner forks: whose it is, and what it has."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..daemon.running import (
    COMMAND,
    daemon,
    devices,
    open_descriptors,
    process_name,
    sessions,
    show,
    spawner,
    tree,
)
from ..driver.backend import Backend, Machine


@pytest.fixture
def backend() -> Iterator[Backend]:
    with daemon() as running:
        yield running


def own(process_id: int) -> set[str]:
    return {name for name in open_descriptors(process_id) if name.startswith(("socket:", "pipe:"))}


def test_a_machine_is_a_session_and_a_device_process_below_one_spawner(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        show(machine)
        names = [process_name(number) for number in tree(backend.process.pid)]
        assert process_name(backend.process.pid) == "vgpud"
        assert sorted(names) == ["vgpud-device", "vgpud-session", "vgpud-spawner"]


def test_two_machines_have_no_descriptor_in_common(backend: Backend) -> None:
    with Machine(backend.socket_path) as one, Machine(backend.socket_path) as other:
        show(one)
        show(other)
        first, second = sessions(backend.process.pid)
        assert own(first)
        assert not own(first) & own(second)
        first_device, second_device = devices(backend.process.pid)
        assert not own(first_device) & own(second_device)
        assert not own(first) & own(second_device)


def oom_points(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/oom_score_adj").read_text())


@pytest.mark.parametrize(("given", "floor"), [(0, 0), (200, 200), (970, 970), (-500, 0)])
def test_who_dies_first_when_memory_runs_out(given: int, floor: int) -> None:
    choose = f'echo {given} >/proc/self/oom_score_adj; exec "$@"'
    if subprocess.run(["sh", "-ec", choose, "sh", "true"], capture_output=True).returncode:
        pytest.skip("this takes CAP_SYS_RESOURCE")
    arguments = ["sh", "-c", choose, "sh", *COMMAND, "--socket-path"]
    with (
        Backend(lambda path: [*arguments, path]) as backend,
        Machine(backend.socket_path) as machine,
    ):
        show(machine)
        above = [backend.process.pid, spawner(backend.process.pid)]
        assert list(map(oom_points, above)) == [given, given]
        for below, points in ((sessions, 50), (devices, 100)):
            (number,) = below(backend.process.pid)
            assert oom_points(number) == min(floor + points, 1000)


def test_the_daemon_and_the_spawner_hold_nothing_of_a_front_end_s(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        show(machine)
        above = own(backend.process.pid) | own(spawner(backend.process.pid))
        for number in [*sessions(backend.process.pid), *devices(backend.process.pid)]:
            # Pipes that lead up are all that they share.
            assert all(name.startswith("pipe:") for name in own(number) & above)
        held = {
            name
            for number in (backend.process.pid, spawner(backend.process.pid))
            for name in open_descriptors(number)
        }
        assert not any("memfd" in name or "[eventfd]" in name for name in held)


def test_whoever_starts_it_by_hand_is_told_so() -> None:
    for arguments in ([], ["1"], ["x", "y"], ["--help"]):
        ended = subprocess.run(
            [sys.executable, "-m", "vgpud.spawner", *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        assert ended.returncode == 70
        assert ended.stderr.count("\n") == 1


def test_a_signal_of_the_terminal_s_is_the_daemon_s_alone(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        show(machine)
        group = Path(f"/proc/{backend.process.pid}/stat").read_text().rpartition(")")[2].split()[2]
        for number in tree(backend.process.pid):
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            assert fields[2] != group
