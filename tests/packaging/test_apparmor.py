# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""AppArmor's profiles: compiled by its parser, one for each kind of process that there is.  tests/systemd has them enforced."""

import shutil
from pathlib import Path

import pytest

from vgpud.tree.messages import DEVICE, RENDER_SERVER, SESSION, VIEW
from vgpud.walls import WallError, apparmor

from .conftest import run

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "contrib/apparmor"
INSTALLED = Path("/etc/apparmor.d")
# What a kernel can that does: the one here may have no AppArmor.
FEATURES = INSTALLED / "abi/3.0"
KINDS = ("daemon", "spawner", SESSION, DEVICE, VIEW, RENDER_SERVER)
PARSER = shutil.which("apparmor_parser", path="/usr/sbin:/sbin")

parsed = pytest.mark.skipif(
    PARSER is None or not FEATURES.exists(), reason="AppArmor's parser is not installed"
)


def parse(*options: str | Path) -> str:
    assert PARSER is not None
    features = (f"--kernel-features={FEATURES}", f"--policy-features={FEATURES}")
    places = (f"--base={INSTALLED}", f"--Include={SOURCES}")
    return run(PARSER, "--skip-kernel-load", "--skip-cache", *features, *places, *options)


@parsed
def test_the_profiles_are_compiled() -> None:
    assert parse(SOURCES / "vgpud") == ""


@parsed
def test_each_kind_of_process_has_one() -> None:
    names = parse("--names", SOURCES / "vgpud").split()
    assert set(names) == {apparmor.BASE, *(f"{apparmor.BASE}//{kind}" for kind in KINDS)}


def test_nothing_is_stacked_where_a_service_manager_has_begun_no_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    current = tmp_path / "current"
    monkeypatch.setattr(apparmor, "ATTRIBUTES", (str(tmp_path / "none"), str(current)))
    for label in ("unconfined\n", "libvirt-1234 (enforce)\n", "vgpud-like (complain)\n", ""):
        current.write_text(label)
        apparmor.confine(DEVICE)
        assert current.read_text() == label


def test_a_profile_is_stacked_on_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    current = tmp_path / "current"
    monkeypatch.setattr(apparmor, "ATTRIBUTES", (str(current),))
    current.write_text("vgpud//&vgpud//spawner (enforce)\n")
    apparmor.confine(DEVICE)
    # A file keeps what is behind; the kernel takes each write whole.
    assert current.read_text().startswith("stack vgpud//device")


def test_a_profile_that_cannot_be_had_is_a_wall_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(apparmor, "ATTRIBUTES", ("/proc/self/attr/current",))
    monkeypatch.setattr(apparmor, "_profiles", lambda _: [apparmor.BASE])
    with pytest.raises(WallError, match="AppArmor: vgpud//device: "):
        apparmor.confine(DEVICE)
