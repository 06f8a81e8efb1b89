# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Which files are read."""

from pathlib import Path

import pytest

from vgpud.config import search
from vgpud.config.search import Files, find_files
from vgpud.errors import ConfigurationError


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.setattr(search, "SYSTEM_FOLDER", folder)
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "home/.config/vgpud"
    folder.mkdir(parents=True)
    return folder


def touched(path: Path) -> Path:
    path.write_text("")
    return path


def test_no_file_at_all_is_fine(system: Path) -> None:
    assert find_files(None, "machine", {}, True) == Files(None, None)


def test_the_superuser_reads_the_system_folder_only(
    system: Path, own: Path, tmp_path: Path
) -> None:
    touched(own / "vgpud.toml")
    environment = {"HOME": str(tmp_path / "home")}
    assert find_files(None, None, environment, True) == Files(None, None)
    general = touched(system / "vgpud.toml")
    assert find_files(None, None, environment, True) == Files(general, None)


def test_another_user_reads_the_own_folder_before_the_system_folder(
    system: Path, own: Path, tmp_path: Path
) -> None:
    environment = {"HOME": str(tmp_path / "home")}
    general = touched(system / "vgpud.toml")
    instance = touched(own / "machine.toml")
    assert find_files(None, "machine", environment, False) == Files(general, instance)
    general = touched(own / "vgpud.toml")
    assert find_files(None, None, environment, False) == Files(general, None)


def test_xdg_config_home_moves_the_own_folder(system: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere/vgpud"
    folder.mkdir(parents=True)
    general = touched(folder / "vgpud.toml")
    environment = {"XDG_CONFIG_HOME": str(folder.parent)}
    assert find_files(None, None, environment, False).general == general


def test_a_relative_xdg_config_home_is_ignored(
    system: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vgpud").mkdir()
    touched(tmp_path / "vgpud/vgpud.toml")
    general = touched(own / "vgpud.toml")
    environment = {"XDG_CONFIG_HOME": ".", "HOME": str(tmp_path / "home")}
    assert find_files(None, None, environment, False).general == general


def test_a_named_file_is_read_whether_it_exists_or_not_and_instances_lie_beside_it(
    system: Path, tmp_path: Path
) -> None:
    touched(system / "machine.toml")
    instance = touched(tmp_path / "machine.toml")
    named = str(tmp_path / "other.toml")
    assert find_files(named, "machine", {}, True) == Files(tmp_path / "other.toml", instance)


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "../vgpud", "vgpud", "a\nb", "a b"])
def test_what_cannot_name_an_instance_is_refused(system: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name of an instance"):
        find_files(None, name, {}, True)


def test_the_name_of_a_systemd_instance_is_accepted(system: Path) -> None:
    instance = touched(system / r"web\x2d1.example.toml")
    assert find_files(None, r"web\x2d1.example", {}, True).instance == instance
