# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A machine's own file: how it is called, and what it may say."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.config.machine_files import (
    all_machine_files,
    file_name,
    find_machine_file,
    machine_folders,
    read_machine_file,
)
from vgpud.config.schema import Config, Display
from vgpud.errors import ConfigurationError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "machines"
    place.mkdir()
    return place


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("web-1_b.c@d:e", "web-1_b.c@d:e"),
        ("a b/c\\d", r"a\x20b\x2fc\x5cd"),
        ("..", r"\x2e."),
        (".hidden", r"\x2ehidden"),
        ("é", r"\xc3\xa9"),
    ],
)
def test_other_characters_are_written_by_their_bytes(name: str, written: str) -> None:
    assert file_name(name) == written


@given(st.text(min_size=1))
def test_every_name_is_that_of_one_file_in_the_folder(name: str) -> None:
    written = file_name(name)
    assert "/" not in written
    assert not written.startswith(".")
    assert len(written) <= 200
    assert written.isascii()


def test_limits_and_displays_are_the_machine_s_and_all_else_stays(folder: Path) -> None:
    path = folder / r"a\x20b.toml"
    path.write_text("[limits]\nresources = 7\n[[displays]]\nwidth = 640\nheight = 480\n")
    assert find_machine_file(machine_folders([folder.parent]), "a b") == path
    general = Config()
    own = read_machine_file(path, general)
    assert own.displays == (Display(640, 480),)
    assert own.limits.resources == 7
    assert own.limits.contexts == general.limits.contexts
    assert (own.socket, own.renderer, own.log) == (general.socket, general.renderer, general.log)


def test_every_mistake_is_found_and_so_is_what_has_no_place_there(folder: Path) -> None:
    path = folder / "web.toml"
    path.write_text(
        "[limits]\nresources = 'x'\nmachines = 3\n[renderer]\nmode = 'null'\n[log]\nlevl = 'x'\n"
    )
    with pytest.raises(ConfigurationError) as raised:
        read_machine_file(path, Config())
    keys = {mistake.split(": ")[1] for mistake in raised.value.mistakes}
    assert keys == {"limits.resources", "limits.machines", "renderer.mode", "log.levl"}


def test_a_machine_without_a_file_has_none(folder: Path) -> None:
    assert find_machine_file([folder], "web") is None
    assert find_machine_file([folder], "") is None
    assert machine_folders([folder]) == ()
    (folder / "one.toml").touch()
    (folder / "two.toml").touch()
    assert [path.name for path in all_machine_files([folder.parent])] == ["one.toml", "two.toml"]
