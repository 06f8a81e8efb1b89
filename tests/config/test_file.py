# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One configuration file: its values, and its mistakes all at once."""

from pathlib import Path
from typing import Any

import pytest

from vgpud.config.file import read_file
from vgpud.config.schema import Display
from vgpud.errors import ConfigurationError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vgpud.toml"


def mistakes(file: Path, text: str) -> dict[str, str]:
    file.write_text(text)
    return dict(read_file(file)[1])


def values(file: Path, text: str) -> dict[str, Any]:
    file.write_text(text)
    read, wrong = read_file(file)
    assert wrong == []
    return read


def test_only_what_the_file_says_is_set(file: Path) -> None:
    assert values(file, "[limits]\nimage_memory = '512MiB'\nresources = 7") == {
        "limits.image_memory": 512 << 20,
        "limits.resources": 7,
    }
    assert values(file, "") == {}


def test_displays_are_an_array_of_tables(file: Path) -> None:
    text = "[[displays]]\nwidth = 640\nheight = 480\n[[displays]]\n"
    assert values(file, text) == {"displays": (Display(640, 480), Display())}


def test_every_mistake_is_found_with_its_key(file: Path) -> None:
    text = """
    sockt = 3
    displays = [{width = 3}, {width = "x", heigth = 4}]
    [socket]
    pth = "x"
    mode = "rw"
    [renderer]
    mode = "3d"
    egl = "true"
    [log]
    level = 3
    """
    assert set(mistakes(file, text)) == {
        "sockt",
        "displays[1].width",
        "displays[1].heigth",
        "socket.pth",
        "socket.mode",
        "renderer.mode",
        "renderer.egl",
        "log.level",
    }


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("[socket]\npth = 'x'", "socket.pth", "path"),
        ("[socket]\nsocket-path = 'x'", "socket.socket-path", "socket.path"),
        ("[rendrer]", "rendrer", "renderer"),
        ("gpu-mode = '2d'", "gpu-mode", "renderer.mode"),
        ("use_egl = true", "use_egl", "renderer.egl"),
        ("image_memory = 3", "image_memory", "limits.image_memory"),
        ("[[displays]]\nwith = 3", "displays[0].with", "width"),
    ],
)
def test_an_unknown_key_comes_with_what_was_probably_meant(
    file: Path, text: str, key: str, meant: str
) -> None:
    assert mistakes(file, text) == {key: f'unknown key; did you mean "{meant}"?'}


def test_an_unknown_key_like_nothing_comes_without_a_suggestion(file: Path) -> None:
    assert mistakes(file, "xyzzy = 1") == {"xyzzy": "unknown key"}


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ("socket = 3", "socket", "expected a table"),
        ("[[socket]]", "socket", "expected a table"),
        ("[displays]", "displays", "expected an array of tables, [[displays]]"),
        ("displays = []", "displays", "expected 1 to 16 displays, not 0"),
        ("displays = [3]", "displays[0]", "expected a table"),
        ("[[displays]]\n" * 17, "displays", "expected 1 to 16 displays, not 17"),
    ],
)
def test_the_wrong_shape_is_a_mistake_like_any_other(
    file: Path, text: str, key: str, why: str
) -> None:
    assert mistakes(file, text) == {key: why}


def test_what_is_right_is_read_beside_a_mistake(file: Path) -> None:
    file.write_text("displays = [{width = 0}]\n[renderer]\nglx = true\nmode = 'x'\n[[socket]]\n")
    read, wrong = read_file(file)
    assert read == {"renderer.glx": True}
    assert {key for key, _ in wrong} == {"renderer.mode", "displays[0].width", "socket"}


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"[socket\n", "line 1"), (b"a = 1\na = 2\n", "line 2"), (b"# \xff", "utf-8")],
)
def test_a_file_that_is_no_toml_is_refused_with_the_place(
    file: Path, content: bytes, why: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=why):
        read_file(file)


@pytest.mark.parametrize("line", ["mode = 0660", "  socket.mode=0660 # as chmod has it"])
def test_permissions_as_chmod_has_them_are_answered_with_how_they_are_written(
    file: Path, line: str
) -> None:
    file.write_text(f"# a file\n{line}\n")
    with pytest.raises(ConfigurationError, match=r'line 2.*permissions are written "0660"$'):
        read_file(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read_file(tmp_path)
    with pytest.raises(ConfigurationError, match="No such file"):
        read_file(tmp_path / "none")
