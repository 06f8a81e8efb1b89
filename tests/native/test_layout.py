# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The C files' order: what import-linter keeps in Python."""

import re
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "native"

FOLDERS: dict[str, set[str]] = {
    "shared": set(),
    "ring": {"shared"},
    "device": {"shared", "ring"},
    "render3d": {"shared", "ring", "device"},
    "virgl": {"shared", "render3d"},
    "rutabaga": {"shared", "render3d"},
    "vulkan": set(),
    "presenter": {"shared"},
    "view": {"shared"},
    "cursor": {"shared", "ring", "presenter"},
    "look": {"shared", "ring"},
}
"""Of each folder, whose headers it may include beside its own."""

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_DIRECTIVE = re.compile(r"^#(?:.*\\\n)*.*$", re.MULTILINE)
_INCLUDE = re.compile(r'^#include "(?:(\w+)/)?(\w+)\.h"', re.MULTILINE)
_DECLARED = re.compile(
    r"^(?!typedef|static|extern|struct \w+ \{)[a-z][\w \*\n]*?\b(\w+)\([^;{}]*\);", re.MULTILINE
)
_DEFINED = re.compile(r"^(?!static|typedef)[a-z][\w \*]*?\b(\w+)\([^;{}]*\) \{", re.MULTILINE)

SOURCES = sorted(path for path in NATIVE.glob("*/*.c") if path.parent.name in FOLDERS)
HEADERS = sorted(path for path in NATIVE.glob("*/*.h") if path.parent.name in FOLDERS)


def name_of(path: Path) -> str:
    return path.relative_to(NATIVE).with_suffix("").as_posix()


def includes(path: Path) -> set[str]:
    return {f"{folder}/{name}" for folder, name in _INCLUDE.findall(path.read_text())}


def code_of(path: Path) -> str:
    """Without comments, directives, and what a header says for C++ or for cffi."""
    return _DIRECTIVE.sub("", _COMMENT.sub("", path.read_text()))


def test_each_folder_has_its_place() -> None:
    # That have sources: beside build.py is what Python compiles, too.
    assert {path.parent.name for path in NATIVE.glob("*/*.[ch]")} - {"fuzz"} == set(FOLDERS)


@pytest.mark.parametrize(
    "path", SOURCES + HEADERS, ids=lambda path: path.relative_to(NATIVE).as_posix()
)
def test_a_folder_includes_what_is_below_it(path: Path) -> None:
    folder = path.parent.name
    for included in includes(path):
        assert included.partition("/")[0] in FOLDERS[folder] | {folder}, included


@pytest.mark.parametrize("header", HEADERS, ids=name_of)
def test_what_a_header_declares_stands_in_the_source_of_its_name(header: Path) -> None:
    source = header.with_suffix(".c")
    defined = set(_DEFINED.findall(code_of(source))) if source.exists() else set()
    declared = set(_DECLARED.findall(code_of(header)))
    assert declared <= defined, declared - defined


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_what_others_may_call_stands_in_the_header(source: Path) -> None:
    declared = set(_DECLARED.findall(code_of(source.with_suffix(".h"))))
    defined = set(_DEFINED.findall(code_of(source)))
    assert defined <= declared, defined - declared


def test_no_source_needs_one_that_needs_it() -> None:
    """Directly or by way of others.  A header without a source of its own is nobody's place."""
    sources = {name_of(path) for path in SOURCES}
    needs = {
        name: (includes(NATIVE / f"{name}.c") | includes(NATIVE / f"{name}.h")) & sources - {name}
        for name in sources
    }
    # Taken away from the bottom; what is left goes in circles.
    while free := {name for name, needed in needs.items() if not needed}:
        needs = {name: needed - free for name, needed in needs.items() if name not in free}
    assert not needs, f"circles among {sorted(needs)}"
