# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Which daemons are found, and which one is asked."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vgpud.config.runtime import default_socket
from vgpud.control.client import NobodyError
from vgpud.control.protocol import ControlError, control_path
from vgpud.ctl import daemons
from vgpud.ctl.daemons import chosen, socket_paths, survey, usual_socket

from ..daemon.running import daemon, wait_until
from ..driver.backend import Backend, Machine

COMMAND = [sys.executable, "-m", "vgpud.ctl"]
SECONDS = 20


@pytest.fixture
def backend() -> Iterator[Backend]:
    with daemon() as running:
        assert wait_until(lambda: survey([running.socket_path]).answered, SECONDS)
        yield running


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Only what is in this folder is found, whatever else runs on this computer; it is the user's runtime directory."""
    monkeypatch.setattr(daemons, "_of_processes", set)
    monkeypatch.setattr(daemons, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(daemons, "SYSTEM_SOCKET", tmp_path / "system/vgpud.sock")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def link(backend: Backend, place: Path) -> Path:
    """The same daemon at another socket."""
    place.parent.mkdir(parents=True, exist_ok=True)
    control_path(place).symlink_to(control_path(backend.socket_path))
    return place


def vgpuctl(*arguments: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {name: text for name, text in os.environ.items() if name != daemons.VARIABLE}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False, cwd=folder,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


def test_a_process_whose_name_is_no_text_hides_no_daemon(backend: Backend) -> None:
    program = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'\\xff', 0, 0, 0); print(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"\n"
        assert backend.socket_path in socket_paths()
        process.communicate()


def test_a_daemon_is_found_wherever_it_listens(backend: Backend) -> None:
    assert backend.socket_path in socket_paths()
    with Machine(backend.socket_path):
        listed = vgpuctl("list")
        assert f"{backend.socket_path}: vgpud " in listed.stdout
        assert f"  1, process {os.getpid()}: up " in listed.stdout
        found = {one["socket"]: one for one in json.loads(vgpuctl("list", "--json").stdout)}
        mine = found[str(backend.socket_path)]
        assert mine["pid"] == backend.process.pid
        assert [one["name"] for one in mine["machines"]] == [f"1, process {os.getpid()}"]


def test_a_daemon_with_a_relative_path_is_found(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "vgpud", "--socket-path", "here.sock"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert wait_until(lambda: tmp_path / "here.sock" in socket_paths(), SECONDS)
        finally:
            process.terminate()


def test_every_daemon_is_shown_on_request(backend: Backend) -> None:
    with daemon() as other, Machine(backend.socket_path), Machine(other.socket_path):
        assert wait_until(lambda: survey([other.socket_path]).answered, SECONDS)
        found = json.loads(vgpuctl("status", "--all", "--json").stdout)
        sockets = {one["socket"]: len(one["machines"]) for one in found}
        assert sockets[str(backend.socket_path)] == sockets[str(other.socket_path)] == 1
        shown = vgpuctl("top", "--all", "--interval=0.1", "--count=1").stdout
        assert all(f"{one.socket_path}: pid" in shown for one in (backend, other))


def test_what_is_no_daemon_is_left_out_soon(alone: Path) -> None:
    silent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    silent.bind(str(alone / "silent.control"))
    silent.listen(1)
    (alone / "file.control").touch()
    (alone / "nobody.control").symlink_to("nowhere")
    with silent:
        assert socket_paths() == [alone / "silent"]
        assert survey().answered == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_those_that_may_not_be_asked_are_counted(backend: Backend) -> None:
    backend.socket_path.parent.chmod(0o755)
    code = (
        "import os, sys; from vgpud.ctl.daemons import survey; from pathlib import Path;"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        "found = survey([Path(sys.argv[1])]); print(len(found.answered), found.closed)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(backend.socket_path)],
        capture_output=True, text=True, timeout=20, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "0 1\n"


# --- which one is meant


def test_without_a_name_it_is_the_usual_one_or_the_only_one(backend: Backend, alone: Path) -> None:
    usual = default_socket(os.environ, os.geteuid())
    with pytest.raises(NobodyError, match=f"no vgpud answers at {usual}; start it"):
        chosen(None)
    only = link(backend, alone / "folder/any.sock")
    assert (usual_socket(), chosen(None)) == (None, only)
    link(backend, alone / "other.sock")
    with pytest.raises(ControlError, match=r"there are 2 daemons, .*any.sock.*: name one with -s"):
        chosen(None)
    usual = link(backend, alone / "system/vgpud.sock")
    assert chosen(None) == usual
    assert chosen(Path("given")) == Path("given")


def test_a_machine_is_found_by_its_name_wherever_it_is(backend: Backend, alone: Path) -> None:
    with daemon() as other, Machine(other.socket_path):
        assert wait_until(lambda: survey([other.socket_path]).answered, SECONDS)
        link(backend, alone / "system/vgpud.sock")
        place = link(other, alone / "other.sock")
        assert chosen(None, "1") == place
        with pytest.raises(ControlError, match="there is no machine 2"):
            chosen(None, "2")
        second = link(other, alone / "second.sock")
        with pytest.raises(ControlError, match=f"2 daemons have a machine 1, {place}, {second}"):
            chosen(None, "1")
        with Machine(backend.socket_path):
            # The usual one's goes before.
            assert chosen(None, "1") == alone / "system/vgpud.sock"


def test_a_machine_that_is_not_there_is_said(backend: Backend) -> None:
    done = vgpuctl("-s", str(backend.socket_path), "status", "--machine", "nobody")
    assert (done.returncode, done.stderr) == (1, "vgpuctl: there is no machine nobody\n")
    with Machine(backend.socket_path), Machine(backend.socket_path):
        shown = vgpuctl("-s", str(backend.socket_path), "status", "--machine", "2", "--json")
        assert [one["name"][:2] for one in json.loads(shown.stdout)["machines"]] == ["2,"]
