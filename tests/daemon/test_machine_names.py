# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Machines by their names: in what the daemon shows, in the log, with a file of their own, and on a control socket."""

import json
import os
import re
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from vgpud.config import runtime
from vgpud.config.schema import Socket
from vgpud.control.client import Client
from vgpud.control.protocol import ControlError, control_path
from vgpud.daemon import own_control
from vgpud.daemon.own_control import machines_folder, open_own_control
from vgpud.errors import ConfigurationError

from ..driver.own_mounts import takes_own_mounts
from .running import COMMAND, answers, daemon, status, vmm, wait_until

# Until a session has heard of its VMM, and may answer already.
NAMELESS = re.compile(r"\d+, process \d+")


def names(path: Path) -> list[str]:
    """Of those that have one."""
    answering = [one["name"] for one in status(path)["machines"] if one["answers"]]
    return [name for name in answering if not NAMELESS.fullmatch(name)]


def ask(path: Path, machine: str) -> None:
    client = Client(control_path(path))
    try:
        client.ask("screen", scanout=0, machine=machine)
    finally:
        client.close()


def seen(path: Path, machine: str) -> list[str]:
    """The machines that vgpuctl shows when it is asked for that one."""
    command = [
        sys.executable,
        "-m",
        "vgpud.ctl",
        "-s",
        str(path),
        "status",
        "--machine",
        machine,
        "--json",
    ]
    output = subprocess.run(command, check=True, capture_output=True, timeout=30).stdout
    return [one["name"] for one in json.loads(output)["machines"]]


def served(path: Path, count: int) -> bool:
    return len(names(path)) == count


def test_a_machine_is_called_as_its_vmm_says_at_every_start() -> None:
    with daemon() as backend:
        assert wait_until(partial(answers, backend.socket_path))
        for _ in range(2):
            with vmm(backend.socket_path, "web"):
                assert wait_until(lambda: names(backend.socket_path) == ["web"])
                (machine,) = status(backend.socket_path)["machines"]
                assert machine["lasting_name"] == "web"
            assert wait_until(lambda: not status(backend.socket_path)["machines"])
        assert "web: connected" in backend.log or "web: gone" in backend.log


def test_two_of_one_name_are_told_apart_and_found_by_their_numbers() -> None:
    with daemon() as backend, ExitStack() as machines:
        assert wait_until(partial(answers, backend.socket_path))
        for count in (1, 2):
            machines.enter_context(vmm(backend.socket_path, "web"))
            assert wait_until(partial(served, backend.socket_path, count))
        assert names(backend.socket_path) == ["web", "web, 2"]
        for wanted in ("web", "web, 2", "2"):
            with pytest.raises(ControlError, match="shows nothing"):
                ask(backend.socket_path, wanted)
        for wanted, called in (("web, 2", "web, 2"), ("2", "web, 2"), ("1", "web")):
            assert seen(backend.socket_path, wanted) == [called]
        with pytest.raises(ControlError, match="there is no machine 3"):
            ask(backend.socket_path, "3")


def test_no_machine_can_have_another_s_name_or_number() -> None:
    with daemon("--headless") as backend, ExitStack() as machines:
        assert wait_until(partial(answers, backend.socket_path))
        for count, name in enumerate(("web", "1", "web,, 4", "web", "1,, process 0"), 1):
            machines.enter_context(vmm(backend.socket_path, name))
            assert wait_until(partial(served, backend.socket_path, count))
        assert names(backend.socket_path) == ["web", "1, 2", "web_ 4", "web, 4", "1_ process 0"]
        found = status(backend.socket_path)["machines"]
        assert len({machine["lasting_name"] for machine in found}) == len(found)


def test_a_machine_s_own_file_limits_it_and_no_other(tmp_path: Path) -> None:
    general = tmp_path / "vgpud.toml"
    general.write_text("[limits]\nresources = 20\n")
    (tmp_path / "machines").mkdir()
    (tmp_path / "machines/web.toml").write_text(
        "[limits]\nresources = 7\n[[displays]]\nwidth = 640\nheight = 480\n"
    )
    (tmp_path / "machines/wrong.toml").write_text("[renderer]\nmode = '2d'\n")
    with daemon("--headless", "--config", str(general)) as backend, ExitStack() as machines:
        assert wait_until(partial(answers, backend.socket_path))
        for name in ("web", "other", "wrong"):
            machines.enter_context(vmm(backend.socket_path, name))
        assert wait_until(lambda: len(names(backend.socket_path)) == 3)
        found = {one["name"]: one for one in status(backend.socket_path)["machines"]}
        limits = {name: one["limits"]["resources"]["limit"] for name, one in found.items()}
        assert limits == {"web": 7, "other": 20, "wrong": 20}
        assert found["web"]["outputs"][0] == {"width": 640, "height": 480}
        assert found["other"]["outputs"][0] == {"width": 1280, "height": 800}
        assert "the machine's own file is not used" in backend.log
        assert "wrong.toml: renderer.mode: a machine's own file may have only limits" in backend.log


def test_the_files_of_machines_are_checked_with_the_rest(tmp_path: Path) -> None:
    general = tmp_path / "vgpud.toml"
    general.touch()
    (tmp_path / "machines").mkdir()
    (tmp_path / "machines/good.toml").write_text("[limits]\nresources = 7\n")
    check = [*COMMAND, "--config", str(general), "--check-config"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (done.returncode, f"{tmp_path}/machines/good.toml: valid\n" in done.stdout) == (0, True)
    (tmp_path / "machines/bad.toml").write_text("[limits]\nmachines = 7\n")
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert f"{tmp_path}/machines/bad.toml: limits.machines: this limit is the host's" in done.stderr


@pytest.mark.parametrize(
    ("flags", "name"),
    [(["--instance", "blue"], "blue"), (["--instance", "blue", "--machine-name", "red"], "red")],
)
def test_one_whose_vmm_says_no_name_is_called_as_the_configuration_says(
    flags: list[str], name: str
) -> None:
    with daemon(*flags) as backend, socket.socket(socket.AF_UNIX) as end:
        assert wait_until(partial(answers, backend.socket_path))
        end.connect(str(backend.socket_path))
        end.sendall(b"\1\0\0\0\1\0\0\0\0\0\0\0")
        assert wait_until(lambda: names(backend.socket_path) == [name])


# --- those that are started for one


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's runtime folder, on a host without the system's."""
    monkeypatch.setattr(own_control, "SYSTEM_RUNTIME", tmp_path / "none")
    monkeypatch.setattr(runtime, "SYSTEM_RUNTIME", tmp_path / "own/vgpud")
    (tmp_path / "own").mkdir(0o700)
    return tmp_path / "own"


def test_the_system_s_folder_is_taken_where_it_is_open_and_else_one_s_own(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"XDG_RUNTIME_DIR": str(own)}
    mine = machines_folder(environment, os.geteuid())
    assert mine == own / "vgpud/machines"
    assert mine.is_dir()
    shared = own / "shared"
    (shared / "machines").mkdir(parents=True)
    monkeypatch.setattr(own_control, "SYSTEM_RUNTIME", shared)
    assert machines_folder(environment, os.geteuid()) == shared / "machines"


def test_another_of_the_same_name_has_a_socket_beside_it(own: Path) -> None:
    environment = {"XDG_RUNTIME_DIR": str(own)}
    found = [open_own_control("a b", Socket(), environment) for _ in range(2)]
    assert [one and one.path.name for one in found] == [r"a\x20b", r"a\x20b,2"]
    for one in found:
        assert one is not None
        assert stat.S_IMODE(control_path(one.path).stat().st_mode) == 0o660
        one.listener.close()
    assert list((own / "vgpud/machines").iterdir()) == []


def test_one_that_has_no_place_is_served_without(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigurationError("no room")

    monkeypatch.setattr(own_control, "listen_for_control", refuse)
    assert open_own_control("web", Socket(), {"XDG_RUNTIME_DIR": str(own)}) is None


@takes_own_mounts
def test_a_daemon_for_one_machine_answers_on_a_socket_of_its_name(tmp_path: Path) -> None:
    """As libvirt starts it, in a root where the system's folder is another."""
    hidden = 'mount -t tmpfs none /run && mkdir -p /run/vgpud/machines && exec "$@"'
    with ExitStack() as owned:
        ours, theirs = map(owned.enter_context, socket.socketpair())
        log = owned.enter_context((tmp_path / "log").open("wb"))
        served = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", hidden, "sh", *COMMAND, f"--fd={theirs.fileno()}"],
            pass_fds=[theirs.fileno()],
            stderr=log,
        )
        owned.callback(served.wait)
        owned.callback(served.kill)
        # QEMU takes longer to start than we do.
        assert wait_until(lambda: theirs.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED) == 1)
        path = Path(f"/proc/{served.pid}/root/run/vgpud/machines/web")
        with vmm("-", "web", str(ours.fileno()), pass_fds=[ours.fileno()]):
            ours.close()
            assert wait_until(partial(answers, path)), (tmp_path / "log").read_text()
            assert names(path) == ["web"]
            assert status(path)["socket"] == "/run/vgpud/machines/web"
        assert served.wait(10) == 0
