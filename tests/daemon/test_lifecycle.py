# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The daemon's life, and that of its front-ends: how they come, how they go, what stays."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vgpud import __version__

from ..driver.backend import Backend, Machine
from ..driver.frontend import Frontend
from .running import COMMAND, daemon, devices, settled_descriptors, show, spawner, tree, wait_until


@pytest.fixture
def backend() -> Iterator[Backend]:
    with daemon() as running:
        yield running


def catches(process_id: int, number: signal.Signals) -> bool:
    """Whether it does not end by this signal any more."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    masks = [line.split()[1] for line in lines if line.startswith(("SigCgt:", "SigIgn:"))]
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def start(path: Path, *options: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [*COMMAND, "--socket-path", str(path), *options], stderr=subprocess.PIPE, text=True
    )
    assert wait_until(lambda: process.poll() is not None or path.exists())
    return process


def finish(process: "subprocess.Popen[str]") -> str:
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=5)
    return errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_a_second_under_running_machines(
    backend: Backend, number: signal.Signals
) -> None:
    with Machine(backend.socket_path) as one, Machine(backend.socket_path) as other:
        show(one)
        show(other)
        below = tree(backend.process.pid)
        assert len(below) == 5  # a spawner, and two processes for each machine
        begin = time.monotonic()
        backend.process.send_signal(number)
        assert backend.process.wait(5) == 0
        assert time.monotonic() - begin < 1
        assert not backend.socket_path.exists()
        assert not any(Path(f"/proc/{number}").exists() for number in below)
        assert one.frontend.disconnected()


def test_sighup_changes_nothing(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        backend.process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: "SIGHUP" in backend.log)
        show(machine)


def test_a_frontend_that_leaves_takes_everything_with_it(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        show(machine)
        assert wait_until(lambda: len(devices(backend.process.pid)) == 1)
    assert wait_until(lambda: not devices(backend.process.pid))
    with Machine(backend.socket_path) as machine:
        show(machine)


def test_two_frontends_do_not_see_each_other(backend: Backend) -> None:
    with Machine(backend.socket_path) as one:
        with Machine(backend.socket_path) as other:
            show(one)
            show(other)
            assert other.guest.create_2d(8, 8).resource_id == one.guest.create_2d(8, 8).resource_id
        show(one)


def test_a_hundred_connections_leave_no_descriptor_and_no_process(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        show(machine)
    assert wait_until(lambda: backend.log.count(": gone") == 1)
    before = settled_descriptors(backend.process.pid)
    for number in range(100):
        frontend = Frontend.connect(backend.socket_path)
        if number % 10 == 0:
            # One that says something first, and leaves in the middle of the next thing; the others get no session.
            frontend.ask_u64(1)
            frontend.set_backend_channel()
            frontend.connection.send(b"\1\0\0")
        frontend.close()
    for _ in range(3):
        with Machine(backend.socket_path) as machine:
            show(machine)
            machine.stop()
            machine.cont()
    assert wait_until(lambda: backend.log.count(": gone") == 14, 30)
    assert settled_descriptors(backend.process.pid) == before
    assert tree(backend.process.pid) == [spawner(backend.process.pid)]


def test_a_machine_is_served_though_somebody_has_removed_the_folder_of_the_others(
    backend: Backend,
) -> None:
    assert wait_until(lambda: "waiting for front-ends" in backend.log)
    backend.socket_path.with_name(backend.socket_path.name + ".machines").rmdir()
    with Machine(backend.socket_path) as machine:
        show(machine)
        assert wait_until(lambda: "the next daemon will not find machine 1" in backend.log)


def test_a_killed_frontend_makes_room_for_the_next(backend: Backend) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.driver.backend import Machine\n"
        "machine = Machine(Path(sys.argv[1])); machine.guest.show(machine.guest.create_2d(64, 64))\n"
        "print(flush=True); time.sleep(60)"
    )
    frontend = subprocess.Popen(
        [sys.executable, "-c", program, str(backend.socket_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert frontend.stdout is not None
    with frontend.stdout as output:
        assert output.readline() == b"\n"
    frontend.kill()
    frontend.wait(5)
    assert wait_until(lambda: not devices(backend.process.pid))
    with Machine(backend.socket_path) as machine:
        show(machine)


def test_a_device_that_was_given_up_comes_back_with_the_next_reboot(tmp_path: Path) -> None:
    configuration = tmp_path / "vgpud.toml"
    configuration.write_text("[device_process]\nrestarts = 0\n")
    with daemon("--config", str(configuration)) as strict, Machine(strict.socket_path) as machine:
        show(machine)
        os.kill(devices(strict.process.pid)[0], signal.SIGKILL)
        assert wait_until(lambda: "given up" in strict.log)
        machine.reboot()
        # Nothing is left of what was shown.
        assert machine.guest.display_info().ok
        assert machine.display.pictures == {}
        show(machine)


# --- the socket


def test_the_socket_file_has_the_mode_that_is_configured(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    process = start(path, "--socket-mode", "0600", "--socket-group", str(os.getgid()))
    status = path.stat()
    finish(process)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_gid == os.getgid()


def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with daemon() as unused:
        unused.close()
    process = start(path)
    with Machine(path) as machine:
        show(machine)
    finish(process)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["in use", "no socket", "no folder", "too long", "no group"])
def test_a_path_that_cannot_be_had_is_a_clear_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "socket"
    options: list[str] = []
    expected = {
        "in use": "in use",
        "no socket": "not a socket",
        "no folder": "there is no folder",
        "too long": "at most 107",
        "no group": "no group",
    }[kind]
    if kind == "no folder":
        path = tmp_path / "nowhere" / "socket"
    if kind == "too long":
        path = tmp_path / ("x" * 120)
    if kind == "no group":
        options = ["--socket-group", "nobody-has-this-group"]
    with socket.socket(socket.AF_UNIX) as other:
        if kind == "in use":
            other.bind(str(path))
            other.listen()
        if kind == "no socket":
            path.write_text("precious")
        done = subprocess.run(
            [*COMMAND, "--socket-path", str(path), *options],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 78
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    if kind == "no socket":
        assert path.read_text() == "precious"


def test_a_socket_file_that_another_has_put_there_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    process = start(path)
    path.unlink()
    path.write_text("another's")
    finish(process)
    assert path.read_text() == "another's"


def test_a_connected_descriptor_is_served_until_its_frontend_leaves() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [*COMMAND, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    frontend = Frontend(ours)
    assert frontend.ask_u64(1)
    frontend.close()
    assert process.wait(5) == 0


def test_a_connected_descriptor_is_waited_at_without_the_rest_of_the_tree() -> None:
    """So that who starts it has time to put it where the machine's processes are to be."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [*COMMAND, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    assert wait_until(lambda: catches(process.pid, signal.SIGHUP), 10)
    time.sleep(0.3)
    assert tree(process.pid) == []
    process.send_signal(signal.SIGHUP)
    frontend = Frontend(ours)
    assert frontend.ask_u64(1)
    assert len(tree(process.pid)) == 3
    frontend.close()
    assert process.wait(5) == 0


def test_a_listening_descriptor_is_listened_at(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        process = subprocess.Popen(
            [*COMMAND, "--fd", str(listening.fileno())], pass_fds=[listening.fileno()]
        )
    for _ in range(2):
        with Machine(path) as machine:
            show(machine)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    # It belongs to whoever made it.
    assert path.exists()


@pytest.mark.parametrize("kind", ["closed", "a file", "datagrams"])
def test_a_descriptor_that_is_no_stream_socket_is_a_clear_error(kind: str) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
        Path(__file__).open() as file,
    ):
        descriptor = {"closed": 999, "a file": file.fileno(), "datagrams": datagrams.fileno()}[kind]
        done = subprocess.run(
            [*COMMAND, "--fd", str(descriptor)],
            pass_fds=[] if kind == "closed" else [descriptor],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1


# --- the log


def test_each_line_names_the_frontend(backend: Backend) -> None:
    with Machine(backend.socket_path):
        pass
    assert wait_until(lambda: "gone" in backend.log)
    lines = [line for line in backend.log.splitlines() if "connected" in line or "gone" in line]
    assert all(f"1, process {os.getpid()}: " in line for line in lines)


def test_in_the_journal_lines_have_priorities_and_no_time(tmp_path: Path) -> None:
    process = start(tmp_path / "socket", "--log-format", "journal")
    frontend = Frontend.connect(tmp_path / "socket")
    frontend.send(99)
    assert frontend.disconnected()
    frontend.close()
    lines = finish(process).splitlines()
    assert lines[0].startswith(f"<6>vgpud {__version__}: mode 2d, socket {tmp_path}/socket, ")
    assert lines[1] == "<6>waiting for front-ends"
    assert any(line.startswith("<4>1, process") for line in lines)
