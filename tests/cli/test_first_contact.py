# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The program for a user who has read nothing: where it listens, and what it prints."""

import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vgpud import __version__
from vgpud.config import runtime
from vgpud.config.doubts import unknown_variables
from vgpud.config.runtime import default_socket
from vgpud.daemon.qemu_line import qemu_line

from ..driver.frontend import Frontend
from ..driver.own_mounts import can_unshare
from ..driver.processes import wait_until

USER = 1000


class Bare:
    """``vgpud`` with these arguments, by a user of that number; killed when the context ends."""

    def __init__(self, folder: Path, user: int, *arguments: str, **variables: str) -> None:
        self.output, self.log = folder / "output", folder / "log"
        kept = {name: os.environ[name] for name in ("PATH",)}
        path = os.pathsep.join(sys.path)
        # A runtime folder of the host's is not ours to put something into.
        hidden = "mount -t tmpfs none /run && exec" if user == 0 else "exec"
        command = shlex.join([sys.executable, "-P", "-m", "vgpud", *arguments])
        mapping = ["--mount"] if user == 0 else ["--user", f"--map-user={user}"]
        with self.output.open("wb") as output, self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", *mapping, "sh", "-c", f"{hidden} {command}"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=log,
                env={**kept, "PYTHONPATH": path, "HOME": str(folder), **variables},
            )  # fmt: skip

    def __enter__(self) -> "Bare":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def place(self, path: Path) -> Path:
        """Where a path of its root is for us."""
        return Path(f"/proc/{self._process.pid}/root{path}")

    def end(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(10)

    def status(self) -> int:
        """The result of a daemon that ends on its own."""
        return self._process.wait(20)

    def says(self, text: str) -> bool:
        """In its log, soon."""
        return wait_until(lambda: text in self.log.read_text(), 20)


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not can_unshare("--mount"),
    reason="only root has a /run of its own to show",
)
needs_users = pytest.mark.skipif(
    not can_unshare("--user", f"--map-user={USER}"), reason="no namespace for another user here"
)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A user's runtime folder."""
    folder = tmp_path / "own"
    folder.mkdir(0o700)
    yield folder
    shutil.rmtree(folder)


def serves(socket_path: Path) -> bool:
    frontend = Frontend.connect(socket_path)
    try:
        return bool(frontend.ask_u64(1))
    finally:
        frontend.close()


@needs_users
def test_a_user_s_socket_is_in_his_runtime_folder(own: Path, tmp_path: Path) -> None:
    with Bare(tmp_path, USER, XDG_RUNTIME_DIR=str(own)) as daemon:
        assert daemon.says("waiting for front-ends")
        path = own / "vgpud/vgpud.sock"
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert serves(path)
        assert daemon.output.read_text() == f"{qemu_line(path)}\n"
        assert f"vgpud {__version__}: mode 2d, socket {path}, no configuration" in (
            daemon.log.read_text()
        )
        assert daemon.end() == 0
        assert list(path.parent.iterdir()) == []


@needs_root
def test_root_s_socket_is_in_the_system_s_folder_which_is_made(tmp_path: Path) -> None:
    with Bare(tmp_path, 0) as daemon:
        assert daemon.says("waiting for front-ends")
        path = Path("/run/vgpud/vgpud.sock")
        assert stat.S_IMODE(daemon.place(path.parent).stat().st_mode) == 0o755
        assert serves(daemon.place(path))
        assert daemon.output.read_text() == f"{qemu_line(path)}\n"


@needs_users
def test_an_instance_has_a_folder_of_its_own_and_is_warned_about_without_a_file(
    own: Path, tmp_path: Path
) -> None:
    variables = {"XDG_RUNTIME_DIR": str(own), "VGPUD_SOKET_PATH": "/x"}
    with Bare(tmp_path, USER, "--instance=web", **variables) as daemon:
        assert daemon.says("waiting for front-ends")
        assert serves(own / "vgpud/web/vgpud.sock")
        assert daemon.says(f"there is no web.toml in {tmp_path}/.config/vgpud or /etc/vgpud")
        assert daemon.says('did you mean "VGPUD_SOCKET_PATH"?')


@needs_users
def test_files_that_were_read_are_named_and_a_socket_that_was_named_needs_no_explanation(
    own: Path, tmp_path: Path
) -> None:
    file = tmp_path / "general.toml"
    file.write_text(f"[socket]\npath = '{own}/x'\n[renderer]\nmode = 'null'\n")
    with Bare(tmp_path, USER, f"--config={file}", XDG_RUNTIME_DIR=str(own)) as daemon:
        assert daemon.says(f"mode null, socket {own}/x, configuration {file}")
        assert serves(own / "x")
        assert daemon.output.read_text() == ""


@needs_users
def test_a_user_without_a_runtime_folder_is_told_to_name_a_socket(tmp_path: Path) -> None:
    with Bare(tmp_path, USER, XDG_RUNTIME_DIR="/nonexistent") as daemon:
        if (runtime.USERS / str(USER)).exists():
            pytest.skip("there is such a user here")
        assert daemon.status() == 78
        assert "give --socket-path PATH" in daemon.log.read_text()


def test_a_runtime_folder_of_another_user_s_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "USERS", tmp_path)
    mine, other = os.geteuid() or USER, os.geteuid() + 2000
    if os.geteuid() == 0:
        os.chown(tmp_path, mine, mine)
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert default_socket(environment, mine) == tmp_path / "vgpud/vgpud.sock"
    assert default_socket(environment, other) is None
    assert default_socket({"XDG_RUNTIME_DIR": "relative"}, mine) is None
    # What logind has made, for who comes by su(1).
    (tmp_path / str(mine)).mkdir()
    if os.geteuid() == 0:
        os.chown(tmp_path / str(mine), mine, mine)
    assert default_socket({}, mine, "web") == tmp_path / str(mine) / "vgpud/web/vgpud.sock"


def test_variables_of_ours_that_say_nothing_are_doubted_and_others_not() -> None:
    environment = {"VGPUD_MODE": "x", "VGPUD_LOG": "debug", "VGPUD_CONFIG": "x", "PATH": "/"}
    assert list(unknown_variables(environment)) == [
        'VGPUD_MODE: no such environment variable; did you mean "VGPUD_GPU_MODE"?'
    ]


def test_doubts_are_no_mistakes_for_who_checks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vgpud", "--check-config"],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path), "VGPUD_X": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("vgpud: warning: VGPUD_X: no such environment variable")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("name", ["plain", "a, b", "it's $HOME `x` !! ~ =ls \\ \"#*[é"])
def test_a_shell_hands_qemu_the_path_whatever_is_in_it(
    shell: str, name: str, tmp_path: Path
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    line = qemu_line(tmp_path / name)
    if not line:
        pytest.skip("no line for this processor")
    printing = f"print_words() {{ printf '%s\\0' \"$@\"; }}; print_words {line}"
    words = subprocess.run([shell, "-c", printing], capture_output=True, check=True).stdout
    path = str(tmp_path / name).replace(",", ",,")
    assert f"socket,id=vgpu,path={path}" in words.decode().split("\0")
