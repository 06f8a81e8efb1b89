# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl setup``: what it writes, that it is shown first, and that nothing is left of it."""

import json
import shutil
import subprocess
from itertools import takewhile
from pathlib import Path

import pytest

from vgpud.control.protocol import ControlError
from vgpud.ctl import setup_files
from vgpud.ctl.setup import put, take_back
from vgpud.ctl.setup_files import Place, wanted_files

PROGRAM = Path("/opt/vgpud/bin/vgpud")
UNIT = "etc/systemd/system/vgpud.service"


def never(question: str) -> bool:
    raise AssertionError(question)


@pytest.fixture
def host(tmp_path: Path) -> Place:
    return Place(PROGRAM, 0, {}, tmp_path)


def everything(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def set_up(place: Place) -> list[str]:
    said: list[str] = []
    put(place, True, said.append, never)
    return said


def undo(place: Place) -> list[str]:
    said: list[str] = []
    take_back(place, True, said.append, never)
    return said


def test_descriptor_and_units_name_the_program_where_it_is(host: Place) -> None:
    said = set_up(host)
    files = everything(host.root)
    descriptor = json.loads(files["etc/qemu/vhost-user/10-vgpud-gpu.json"])
    assert (descriptor["type"], descriptor["binary"]) == ("gpu", str(PROGRAM))
    for unit in (UNIT, "etc/systemd/system/vgpud@.service"):
        (line,) = (line for line in files[unit].splitlines() if line.startswith("ExecStart="))
        assert line.startswith(f"ExecStart={PROGRAM} --")
        assert "/usr/bin/vgpud" not in files[unit]
    assert {"etc/sysusers.d/vgpud.conf", "etc/tmpfiles.d/vgpud.conf"} <= files.keys()
    assert {f"  write    {path}" for path in wanted_files(host)} <= set(said)
    assert any("systemctl daemon-reload" in line for line in said)


def test_it_is_shown_first_and_nothing_is_done_for_who_does_not_agree(host: Place) -> None:
    said: list[str] = []
    asked: list[str] = []

    def refuse(question: str) -> bool:
        assert any(str(host.root / UNIT) in line for line in said)
        asked.append(question)
        return False

    put(host, False, said.append, refuse)
    assert asked == ["Do it?"]
    assert everything(host.root) == {}


def test_nothing_is_left_when_it_is_undone(host: Place) -> None:
    set_up(host)
    undo(host)
    assert everything(host.root) == {}
    with pytest.raises(ControlError, match="nothing to undo"):
        undo(host)


def test_what_was_there_before_comes_back(host: Place) -> None:
    unit = host.root / UNIT
    unit.parent.mkdir(parents=True)
    unit.write_text("the administrator's\n")
    assert f"  replace  {unit}" in set_up(host)
    # Set up once more, for a program that has moved.
    moved = Place(Path("/opt/other/vgpud"), 0, {}, host.root)
    assert f"  replace  {unit}" in set_up(moved)
    assert "/opt/other/vgpud" in unit.read_text()
    assert f"  restore  {unit}" in undo(moved)
    assert everything(host.root) == {UNIT: "the administrator's\n"}


def test_what_somebody_has_changed_since_is_his(host: Place) -> None:
    set_up(host)
    unit = host.root / UNIT
    unit.write_text("the administrator's\n")
    assert f"  leave    {unit}  (changed by somebody since)" in undo(host)
    assert everything(host.root) == {UNIT: "the administrator's\n"}


def test_a_second_time_there_is_nothing_to_do(host: Place) -> None:
    set_up(host)
    before = everything(host.root)
    said: list[str] = []
    put(host, False, said.append, never)
    assert said[-1] == "There is nothing to do."
    assert everything(host.root) == before


def test_a_user_s_own_libvirt_and_systemd_are_told_in_his_folders(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    place = Place(PROGRAM, 1000, environment, Path("/nonexistent"))
    set_up(place)
    assert everything(tmp_path).keys() == {
        ".config/qemu/vhost-user/10-vgpud-gpu.json",
        ".config/systemd/user/vgpud.service",
        "state/vgpud/setup.json",
    }
    undo(place)
    assert everything(tmp_path) == {}


def test_the_units_of_a_package_are_left_to_it(tmp_path: Path) -> None:
    packaged = tmp_path / "usr/lib/systemd/system/vgpud.service"
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    place = Place(Path("/usr/bin/vgpud"), 0, {}, tmp_path)
    assert list(wanted_files(place)) == [tmp_path / "etc/qemu/vhost-user/10-vgpud-gpu.json"]


@pytest.mark.parametrize(
    "program", ["/home/a user/50%/vgpud", "/root/venv/bin/vgpud", "/tmp/venv/bin/vgpud"]
)
def test_a_program_that_the_unit_s_walls_would_hide_is_shown_to_it(
    program: str, tmp_path: Path
) -> None:
    place = Place(Path(program), 0, {}, tmp_path)
    lines = wanted_files(place)[tmp_path / UNIT].splitlines()
    shown = {
        "/home/a user/50%/vgpud": '"/home/a user/50%%"',
        "/root/venv/bin/vgpud": "/root/venv/bin",
        "/tmp/venv/bin/vgpud": "/tmp/venv/bin",
    }[program]
    # There are more where the interpreter or the package lies in a home.
    following = lines[lines.index("ProtectHome=tmpfs") + 1 :]
    assert f"BindReadOnlyPaths={shown}" in takewhile(
        lambda line: line.startswith(("BindReadOnlyPaths=", "TemporaryFileSystem=/root:")),
        following,
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("user", [0, 1000])
def test_systemd_understands_the_units(user: int, tmp_path: Path) -> None:
    program = tmp_path / "a folder, 100%" / "vgpud"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    place = Place(program, user, {"HOME": str(tmp_path)}, tmp_path)
    set_up(place)
    units = sorted(tmp_path.rglob("vgpud*.service"))
    assert units
    whose = ["--user"] if user else ["--system"]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *whose, *units],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    # What it has to say of other units of this host is nothing to us.
    assert [line for line in done.stderr.splitlines() if "vgpud" in line] == []


def test_a_descriptor_that_is_missing_is_said(
    host: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(setup_files, "DESCRIPTORS", (tmp_path,))
    with pytest.raises(ControlError, match=r"no 60-vgpud-gpu\.json"):
        set_up(host)
