# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Releases of libvirglrenderer that lack something, played by a library of our own that does nothing."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

HEADER = Path(__file__).parents[2] / "native" / "virgl" / "api.h"
# Sizes of two capability sets, and a use of malloc(), as the real one has.
BODIES = """
#include <stdlib.h>
#include <string.h>
void *kept;
void virgl_renderer_get_cap_set(unsigned set, unsigned *version, unsigned *size) {
    *version = 1;
    *size = set <= 2 ? 1024 : 0;
}
void virgl_renderer_fill_caps(unsigned set, unsigned version, void *caps) { memset(caps, 0, 1024); }
"""
USES_MALLOC = "void *use_malloc(void) { return kept = malloc(16); }\n"


def functions() -> list[str]:
    """Every function that the library may have."""
    names = re.findall(r"VIRGL_FUNCTION\(\w[\w ]*, (\w+),", HEADER.read_text())
    return [f"virgl_renderer_{name}" for name in names] + ["virgl_set_debug_callback"]


def build(folder: Path, without: Sequence[str] = (), uses_malloc: bool = True) -> Path:
    """A folder with such a library; its functions return 0."""
    plain = set(functions()) - set(without)
    text = BODIES + (USES_MALLOC if uses_malloc else "")
    text += "".join(f"long {name}(void) {{ return 0; }}\n" for name in plain if name not in BODIES)
    source = folder / "library.c"
    source.write_text(text)
    library = folder / "libvirglrenderer.so.1"
    command = ["gcc", "-shared", "-fPIC", "-fno-builtin", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    return folder


def probe(folder: Path) -> tuple[int, dict[str, Any]]:
    """Its exit status, and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "vgpud.device.renderers.probe", '{"mode": "virglrenderer"}'],
        env={"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": ":".join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_a_library_that_has_everything_is_named_alone(tmp_path: Path) -> None:
    assert len(functions()) > 20
    status, found = probe(build(tmp_path))
    assert (status, found["library"], found["capsets"]) == (0, "libvirglrenderer.so.1", [1, 2])


def test_what_can_be_done_without_is_named(tmp_path: Path) -> None:
    lacking = ["virgl_renderer_context_create_with_flags", "virgl_renderer_context_create_fence"]
    status, found = probe(build(tmp_path, lacking))
    assert (status, found["library"]) == (
        0,
        f"libvirglrenderer.so.1, without {lacking[0]}, {lacking[1]}",
    )


def test_what_cannot_be_done_without_is_the_reason(tmp_path: Path) -> None:
    status, found = probe(build(tmp_path, ["virgl_renderer_submit_cmd"]))
    assert status == 69
    assert (
        "libvirglrenderer.so.1 has no virgl_renderer_submit_cmd; install another" in found["reason"]
    )


def test_a_library_whose_memory_cannot_be_zeroed_is_not_taken(tmp_path: Path) -> None:
    status, found = probe(build(tmp_path, uses_malloc=False))
    assert status == 69
    assert "does not allocate by malloc()" in found["reason"]


@pytest.mark.parametrize("text", ["", "not a library"])
def test_a_file_that_is_no_library_is_the_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / "libvirglrenderer.so.1").write_text(text)
    status, found = probe(tmp_path)
    assert status == 69
    assert "libvirglrenderer.so.1" in found["reason"]
