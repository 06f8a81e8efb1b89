# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""GL programs draw by vgpud what they draw by virgl_test_server with the same library."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.process import opengl_unavailable
from tests.vtest import client, piglit
from tests.vtest.servers import (
    CLIENT,
    REFERENCE,
    SUBJECT,
    alone,
    client_environment,
    reference,
    subject,
)

FRAME_BYTES = client.SIZE * client.SIZE * 4
# Another driver between the program and the same rasterizer: of 255, in each channel.
ROUNDING = 4
PROGRAM_SECONDS = 120
# Those that glmark2 has the right pixels of.
VALIDATED = (
    "build:use-vbo=false", "build:use-vbo=true", "texture:texture-filter=mipmap", "shading:shading=phong",
    "bump:bump-render=normals", "effect2d:kernel=0,1,0;1,-4,1;0,1,0;",
    "pulsar:light=false:quads=5:texture=false",
    "desktop:blur-radius=5:effect=blur:passes=1:separable=true:windows=4",
    "desktop:effect=shadow:windows=4",
    "buffer:columns=200:interleave=false:update-dispersion=0.9:update-fraction=0.5:update-method=map",
    "buffer:columns=200:interleave=false:update-dispersion=0.9:update-fraction=0.5:update-method=subdata",
    "function:fragment-complexity=low:fragment-steps=5",
)  # fmt: skip
# A small part of PIGLIT.md's.
PIGLIT = {"quick_shader": (r"^spec@glsl-1\.20@execution@(vs|fs|tex|var|uni)",)}


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [name for name in programs if not shutil.which(name)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


pytestmark = [
    pytest.mark.skipif(bool(opengl_unavailable()), reason=opengl_unavailable()),
    needs(REFERENCE),
]


@pytest.fixture
def vgpud() -> Iterator[None]:
    with alone(), subject():
        yield


def drawing(path: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """The program that draws into a file."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.vtest.client", str(path)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def drawn(process: subprocess.Popen[str], path: Path) -> tuple[str, bytes]:
    """By whom, by its own name, and the pixels."""
    name, _ = process.communicate(timeout=PROGRAM_SECONDS)
    assert process.returncode == 0
    pixels = path.read_bytes()
    assert len(pixels) == client.FRAMES * FRAME_BYTES
    return name, pixels


def drawn_by_reference(path: Path) -> bytes:
    with alone(), reference():
        name, pixels = drawn(drawing(path, client_environment()), path)
    assert name.startswith("virgl")
    return pixels


@pytest.mark.parametrize("options", [(), ("--mirrored",)], ids=["shared", "mirrored"])
def test_frames_are_those_of_virgl_test_server_to_the_byte(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    with alone(), subject(*options):
        path = tmp_path / "subject"
        name, pixels = drawn(drawing(path, client_environment()), path)
    assert name.startswith("virgl")
    assert pixels == drawn_by_reference(tmp_path / "reference")


def test_frames_are_those_of_the_software_renderer_but_for_rounding(
    vgpud: None, tmp_path: Path
) -> None:
    paths = [tmp_path / "subject", tmp_path / "software"]
    # llvmpipe in the program itself.
    software = {key: value for key, value in os.environ.items() if key not in CLIENT}
    environments = [client_environment(), software | {"LIBGL_ALWAYS_SOFTWARE": "1"}]
    (virgl, ours), (llvmpipe, theirs) = [
        drawn(drawing(path, environment), path)
        for path, environment in zip(paths, environments, strict=True)
    ]
    assert virgl.startswith("virgl")
    assert "virgl" not in llvmpipe
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= ROUNDING
    # Something was drawn, and not the same in each frame.
    frames = [ours[start : start + FRAME_BYTES] for start in range(0, len(ours), FRAME_BYTES)]
    assert len(set(frames)) == client.FRAMES
    assert all(len(set(frame)) > 100 for frame in frames)


def test_programs_at_once_do_not_disturb_each_other(vgpud: None, tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(3)]
    running = [drawing(path, client_environment()) for path in paths]
    pictures = {drawn(process, path)[1] for process, path in zip(running, paths, strict=True)}
    assert len(pictures) == 1


@needs("glmark2-es2", "xvfb-run")
def test_glmark2_finds_its_own_pixels(vgpud: None) -> None:
    scenes = [word for scene in VALIDATED for word in ("-b", scene)]
    done = subprocess.run(
        ["xvfb-run", "-a", "glmark2-es2", "--off-screen", "--validate", *scenes],
        env=client_environment(),
        stdout=subprocess.PIPE,
        text=True,
        timeout=PROGRAM_SECONDS,
        check=True,
    )
    assert re.search(r"GL_RENDERER: +virgl", done.stdout)
    assert re.findall(r"Validation: (\w+)", done.stdout) == ["Success"] * len(VALIDATED)


@needs("piglit")
@pytest.mark.parametrize("profile", PIGLIT)
def test_piglit_passes_as_it_does_by_virgl_test_server(profile: str) -> None:
    found = {key: piglit.run(key, profile, PIGLIT[profile], 2) for key in (REFERENCE, SUBJECT)}
    assert list(found[SUBJECT].values()).count("pass") > 100
    if found[SUBJECT] != found[REFERENCE]:
        found[piglit.AGAIN] = piglit.run(REFERENCE, profile, PIGLIT[profile], 2)
        assert piglit.compare(found).different == []


def test_a_test_that_differs_between_two_runs_of_the_reference_says_nothing() -> None:
    found = {
        REFERENCE: {"steady": "pass", "flaky": "pass", "broken": "pass"},
        SUBJECT: {"steady": "pass", "flaky": "crash", "broken": "fail"},
        piglit.AGAIN: {"steady": "pass", "flaky": "fail", "broken": "pass"},
    }
    assert piglit.compare(found) == piglit.Comparison(different=["broken"], flaky=["flaky"])


def test_a_test_that_is_missing_is_a_difference() -> None:
    found = {REFERENCE: {"a": "pass"}, SUBJECT: {}, piglit.AGAIN: {"a": "pass"}}
    assert piglit.compare(found).different == ["a"]
