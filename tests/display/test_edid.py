# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The EDID of a configured display: correct by its own sums, and in the eyes of edid-decode."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.display.edid import MAXIMUM_SIDE, edid_response, make_edid, timing_of

SIDES = st.integers(1, MAXIMUM_SIDE)
SIZES = [
    (1, 1),
    (640, 480),
    (1280, 800),
    (1920, 1080),
    (3840, 2160),
    (4095, 2160),
    (4096, 2160),
    (5120, 2880),
    (1080, 4096),
    (16384, 16384),
]


@given(SIDES, SIDES)
def test_every_block_sums_up_to_nothing(width: int, height: int) -> None:
    edid = make_edid(width, height)
    assert len(edid) == 128 * (1 + edid[126])
    for start in range(0, len(edid), 128):
        assert sum(edid[start : start + 128]) & 0xFF == 0


@given(st.integers(1, 4095), st.integers(1, 2160))
def test_a_mode_that_fits_is_the_first_detailed_timing(width: int, height: int) -> None:
    edid = make_edid(width, height)
    timing = edid[54:72]
    assert len(edid) == 128
    assert timing[2] | timing[4] >> 4 << 8 == width
    assert timing[5] | timing[7] >> 4 << 8 == height
    dots = (width + 160) * (height + (timing[6] | (timing[7] & 15) << 8))
    assert int.from_bytes(timing[:2], "little") * 10_000 / dots == pytest.approx(60, abs=0.05)


@given(SIDES, SIDES)
def test_every_mode_has_a_clock_that_a_display_can_have(width: int, height: int) -> None:
    assert 1000 <= timing_of(width, height).clock < 1 << 24


def test_displays_are_told_apart_by_their_serial_numbers() -> None:
    assert make_edid(640, 480, 1)[12:16] != make_edid(640, 480, 2)[12:16]


def test_a_response_is_a_whole_structure() -> None:
    edid = make_edid(1280, 800)
    response = edid_response(edid)
    assert len(response) == 1056
    assert response[:4] == (0x1104).to_bytes(4, "little")
    assert response[24:32] == (128).to_bytes(4, "little") + bytes(4)
    assert response[32:] == edid.ljust(1024, b"\0")


@pytest.mark.skipif(shutil.which("edid-decode") is None, reason="edid-decode is not installed")
@pytest.mark.parametrize("size", SIZES)
def test_edid_decode_finds_it_conforming(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "edid"
    path.write_bytes(make_edid(*size, serial=1))
    decoded = subprocess.run(
        ["edid-decode", "--check", path], capture_output=True, text=True, timeout=20, check=False
    )
    assert "EDID conformity: PASS" in decoded.stdout, decoded.stdout
    assert f" {size[0]}x{size[1]} " in decoded.stdout
