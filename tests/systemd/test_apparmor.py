# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""AppArmor's profiles, enforced: each process of the unit has its own, does its work in it, and can do nothing else."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import vgpud

from ..daemon.running import devices, named, sessions, show, spawner, wait_until
from ..driver.backend import Machine
from ..driver.rfb import Viewer
from . import confined
from .booted import Systemd

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "contrib/apparmor"
INSTALLED = Path("/etc/apparmor.d")
PARSER = shutil.which("apparmor_parser", path="/usr/sbin:/sbin")
ENABLED = Path("/sys/module/apparmor/parameters/enabled")
INSTANCE = "walled"
UNIT = f"vgpud@{INSTANCE}.service"
VIEW = f"/run/vgpud/{INSTANCE}/view"
# An emulated processor is slow.
PATIENT = {"timeout": 60.0}
PATIENCE = 240

EVERYBODY = {"abort"}
MAY = {
    "daemon": {"listen", "read the configuration", "internet", "kill", "execute python"},
    "spawner": {"read the configuration", "use memory", "look at devices", "internet", "kill"},
    "session": {"read the configuration", "use memory", "internet"},
    "device": {"use memory", "look at devices"},
    "view": {"internet"},
    "render-server": {"look at devices", "kill"},
}


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Loaded as the package has them, for a program that lies where this one does."""
    if os.geteuid() != 0 or PARSER is None:
        pytest.skip("profiles are loaded by root, with AppArmor's parser")
    if not (ENABLED.exists() and ENABLED.read_text().startswith("Y")):
        pytest.skip("this kernel has no AppArmor: the profiles are not seen enforced")
    places = tmp_path_factory.mktemp("apparmor")
    own = places / "tunables/vgpud.d/tests"
    own.parent.mkdir(parents=True)
    own.write_text(
        f"@{{VGPUD_PYTHON}} += {Path(sys.executable).resolve()}\n@{{VGPUD_PROGRAMS}} += {' '.join(_programs())}\n"
    )
    command: list[str | Path] = [
        PARSER,
        "--skip-cache",
        "--base",
        INSTALLED,
        "-I",
        places,
        "-I",
        SOURCES,
    ]
    subprocess.run([*command, "--replace", SOURCES / "vgpud"], check=True)
    yield
    subprocess.run([*command, "--remove", SOURCES / "vgpud"], check=True)


def _programs() -> Iterator[str]:
    wanted = {sys.prefix, sys.base_prefix, str(Path(vgpud.__file__).resolve().parents[1])}
    yield from sorted(
        str(Path(place).resolve()) for place in wanted if not place.startswith("/usr")
    )


def label(process_id: int) -> tuple[set[str], str]:
    """The profiles of a process, and how they are meant."""
    text = Path(f"/proc/{process_id}/attr/current").read_text().strip()
    names, _, mode = text.partition(" ")
    return set(names.split("//&")), mode


def stacked(*kinds: str) -> tuple[set[str], str]:
    return {"vgpud", *(f"vgpud//{kind}" for kind in kinds)}, "(enforce)"


def refusals() -> list[str]:
    """What the kernel has said of processes that have one of ours."""
    said = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    return [line for line in said.splitlines() if 'apparmor="DENIED"' in line and "vgpud" in line]


def begun(systemd: Systemd) -> str:
    """What has become of the unit's start."""
    for _ in range(PATIENCE):
        # Asking takes the processor that the start needs.
        time.sleep(1)
        state = systemd.ask("is-active", UNIT)
        # One that ends is "activating" again.
        if state in ("active", "failed") or systemd.property(UNIT, "NRestarts") != "0":
            break
    return state


@pytest.mark.usefixtures("profiles")
def test_each_process_serves_in_the_profile_of_its_kind(systemd: Systemd) -> None:
    known = len(refusals())
    systemd.configure(INSTANCE, f"[view]\naddress = 'unix:{VIEW}'\n")
    systemd.add_to(UNIT, f"[Service]\nAppArmorProfile=vgpud\nTimeoutStartSec={PATIENCE}\n")
    systemd.do("start", "--no-block", UNIT)
    assert begun(systemd) == "active", (refusals(), systemd.ask("status", UNIT))
    daemon = systemd.main_process(UNIT)
    with Machine(systemd.socket(INSTANCE), guest=PATIENT) as machine:
        show(machine)
        with Viewer.at(systemd.path(VIEW)):
            assert label(daemon) == stacked("daemon")
            before = spawner(daemon)
            assert label(before) == stacked("spawner")
            for kind, found in {
                "session": sessions(daemon),
                "device": devices(daemon),
                "view": named(daemon, "vgpud-view"),
            }.items():
                assert list(map(label, found)) == [stacked("spawner", kind)], kind

        # Another spawner is executed, and what that forks has the profiles as well.
        os.kill(before, signal.SIGKILL)
        assert wait_until(lambda: named(daemon, "vgpud-spawner") not in ([], [before]), PATIENCE)
        assert wait_until(lambda: label(spawner(daemon)) == stacked("spawner"), PATIENCE)
        (old,) = devices(daemon)
        os.kill(old, signal.SIGKILL)
        assert wait_until(lambda: devices(daemon) not in ([], [old]), PATIENCE)
        show(machine)
        assert list(map(label, devices(daemon))) == [stacked("spawner", "device")]
    systemd.do("reload", UNIT)
    assert "not confined in full" not in systemd.log(INSTANCE)
    systemd.do("stop", UNIT)
    assert not systemd.socket(INSTANCE).exists()
    assert refusals()[known:] == []


def tried(systemd: Systemd, kind: str) -> dict[str, int]:
    """What came of what a process of that kind tries, as root; "" is no kind, and confined by nothing."""
    package = Path(vgpud.__file__).resolve().parents[1]
    # Who has no capability needs to be let in: root, too.
    folder = "/run/vgpud/tried"
    for command in (["chmod", "o+x", "/run/vgpud"], ["mkdir", "-p", folder]):
        assert systemd.run(*command).returncode == 0
    program = (sys.executable, "-P", "-c", Path(confined.__file__).read_text(), kind, folder)
    done = systemd.run("env", f"PYTHONPATH={package}", *program)
    assert done.stdout, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("profiles")
def test_all_that_is_tried_can_be_done_without_a_profile(systemd: Systemd) -> None:
    systemd.configure("tried", "")
    assert tried(systemd, "") == dict.fromkeys(confined.TRIED, 0)


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize("kind", MAY)
def test_a_process_can_do_what_its_kind_does_and_nothing_else(systemd: Systemd, kind: str) -> None:
    systemd.configure("tried", "")
    may = MAY[kind] | EVERYBODY
    assert tried(systemd, kind) == {
        name: 0 if name in may else errno.EACCES for name in confined.TRIED
    }
