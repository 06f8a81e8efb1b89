# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A systemd of our own, with vgpud's units, and what can be asked of it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import vgpud

from ..daemon.running import tree, wait_until

UNITS = Path(__file__).parents[2] / "contrib/systemd"
PROGRAMS = ("/lib/systemd/systemd", "systemctl", "systemd-sysusers", "unshare", "nsenter")
MACHINE = Path("/")
SECONDS = 100.0
TARGET = "[Unit]\nDescription=Tests\nDefaultDependencies=no\n"
# Where the programs that are tested lie in a home or in /tmp, the units' doors to those stay open.
DROP_IN = "[Service]\nStandardError=append:/run/log-%p-%i\n"
OPEN_DOORS = "ProtectHome=no\nPrivateTmp=no\n"
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")


class CannotBootError(Exception):
    """This machine does not let us; the text says why."""


class Systemd:
    """Booted, and gone with everything that it started when the context ends.

    On a copy of the root of this machine, with the package that is tested, or of another, without.
    """

    def __init__(self, original: Path = MACHINE) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise CannotBootError(f"not installed: {', '.join(missing)}")
        if os.geteuid() != 0:
            raise CannotBootError("only root can mount a container root")
        # First, since it may be refused: what follows is closed by close() alone.
        self._cgroup = _new_cgroup()
        self._folder = tempfile.TemporaryDirectory(prefix="vgpud-systemd-")
        folder = Path(self._folder.name)
        places = needed_places() if original == MACHINE else []
        _write_files(folder, places)
        self._log = folder / "log"
        with self._log.open("w") as log:
            self._unshare = subprocess.Popen(
                [
                    "unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child",
                    "--propagation", "private",
                    Path(__file__).with_name("boot"), folder, original, *places,
                ],
                stdin=subprocess.PIPE, stdout=log, stderr=log,
                preexec_fn=self._enter_cgroup,
            )  # fmt: skip
        self.pid = 0
        try:
            self._wait_for_boot()
        except BaseException:
            self.close()
            raise

    def _enter_cgroup(self) -> None:
        (self._cgroup / "cgroup.procs").write_text("0")

    def _wait_for_boot(self) -> None:
        number = self._unshare.pid
        children = Path(f"/proc/{number}/task/{number}/children")

        def begun() -> bool:
            if self._unshare.poll() is not None:
                return True
            self.pid = int((children.read_text() or "0").split()[0])
            return bool(self.pid)

        def up() -> bool:
            return (
                self._unshare.poll() is not None
                or self.ask("is-active", "tests.target") == "active"
            )

        wait_until(begun, SECONDS)
        # A group that has processes of its own has no controllers for those below, and systemd moves only those that it sees.
        with suppress(ProcessLookupError):
            (self._cgroup.parent / "cgroup.procs").write_text(str(number))
        assert self._unshare.stdin is not None
        self._unshare.stdin.close()

        if not wait_until(up, SECONDS) or self._unshare.poll() is not None:
            raise CannotBootError(f"systemd does not boot: {self._log.read_text().strip()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends every process in it."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._unshare.kill()
        self._unshare.wait()
        wait_until(lambda: _removed(self._cgroup))
        self._folder.cleanup()

    def path(self, inside: str) -> Path:
        """Where a path of the container is for us."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def socket(self, instance: str) -> Path:
        return self.path(f"/run/vgpud/{instance}/vgpud.sock")

    def ask(self, *words: str) -> str:
        """What systemctl prints."""
        return self.systemctl(*words).stdout.strip()

    def systemctl(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.run("systemctl", *words)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A program in it."""
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--ipc", *words],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    @contextmanager
    def running(self, *words: str) -> Iterator[None]:
        """A program in it, until the context ends."""
        command = ["nsenter", f"--target={self.pid}", "--mount", "--pid", *words]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                yield
            finally:
                # What it is the parent of: nsenter itself has entered no namespace of processes.
                for number in (*tree(process.pid), process.pid):
                    with suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)

    def do(self, *words: str) -> None:
        """systemctl, which must succeed."""
        done = self.systemctl(*words)
        assert done.returncode == 0, done.stderr

    def property(self, unit: str, name: str) -> str:
        return self.ask("show", "--property", name, "--value", unit)

    def main_process(self, unit: str) -> int:
        """Its process's number for us, 0 for none."""
        inside = self.property(unit, "MainPID")
        for text in (self._cgroup / "system.slice").glob(f"**/{unit}/cgroup.procs"):
            for number in text.read_text().split():
                status = Path(f"/proc/{number}/status").read_text()
                if f"NSpid:\t{number}\t{inside}\n" in status:
                    return int(number)
        return 0

    def control_group(self, unit: str) -> Path:
        """Of one that runs, as we see it."""
        return self._cgroup / self.property(unit, "ControlGroup").lstrip("/")

    def configure(self, name: str, text: str) -> None:
        """Writes /etc/vgpud/NAME.toml."""
        self.path(f"/etc/vgpud/{name}.toml").write_text(text)

    def add_to(self, unit: str, text: str) -> None:
        """A drop-in."""
        folder = self.path(f"/etc/systemd/system/{unit}.d")
        folder.mkdir(exist_ok=True)
        (folder / "test.conf").write_text(text)
        self.do("daemon-reload")

    def log(self, instance: str) -> str:
        """What the daemon wrote on standard error."""
        return self.path(f"/run/log-vgpud-{instance}").read_text()


def hidden(places: list[str]) -> list[str]:
    """Those that the units' doors hide."""
    return [place for place in places if place.startswith(HIDDEN)]


def needed_places() -> list[str]:
    """What the interpreter and the package need, below no other one."""
    wanted = {Path(sys.prefix), Path(sys.base_prefix), Path(vgpud.__file__).resolve().parents[1]}
    return [
        str(place)
        for place in sorted(wanted)
        if not wanted & set(place.parents) and not place.is_relative_to("/usr")
    ]


def _write_files(folder: Path, places: list[str]) -> None:
    (folder / "memory").mkdir()
    shutil.copytree(UNITS, folder / "units")
    (folder / "units/tests.target").write_text(TARGET)
    open_doors = OPEN_DOORS if hidden(places) else ""
    for unit in ("vgpud.service.d", "vgpud@.service.d"):
        (folder / "units" / unit).mkdir()
        (folder / "units" / unit / "log.conf").write_text(DROP_IN + open_doors)
    package = Path(vgpud.__file__).resolve().parents[1]
    program = folder / "vgpud"
    # A drop-in may add to what is imported.
    program.write_text(
        f"#!/bin/sh\nPYTHONPATH={package}${{PYTHONPATH:+:$PYTHONPATH}} "
        f'exec {sys.executable} -P -m vgpud "$@"\n'
    )
    program.chmod(0o755)


def _new_cgroup() -> Path:
    """A control group of the second version below our own."""
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    tops = [fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"]
    own = [
        line.removeprefix("0::/")
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if line.startswith("0::/")
    ]
    if not tops or not own:
        raise CannotBootError("there are no control groups of version 2")
    parent = Path(tops[0]) / own[0].lstrip("/")
    _enable_controllers(parent)
    cgroup = parent / f"vgpud-tests-{os.getpid()}-{time.monotonic_ns()}"
    try:
        cgroup.mkdir()
    except OSError as error:
        raise CannotBootError(f"{cgroup}: {error.strerror}") from error
    return cgroup


def _enable_controllers(parent: Path) -> None:
    """For the groups below, as far as they are there; not where processes are in a group that is no root."""
    for controller in (parent / "cgroup.controllers").read_text().split():
        with suppress(OSError):
            (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def _removed(cgroup: Path) -> bool:
    try:
        for folder, _, _ in os.walk(cgroup, topdown=False):
            Path(folder).rmdir()
    except OSError:
        return False
    return True
