# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What is written is what another library reads."""

import io

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vgpud.ctl import png


@st.composite
def pictures(draw: st.DrawFn) -> tuple[int, int, bytes]:
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    size = 3 * width * height
    return width, height, draw(st.binary(min_size=size, max_size=size))


@given(pictures())
def test_another_library_reads_the_same_picture(picture: tuple[int, int, bytes]) -> None:
    width, height, rgb = picture
    with Image.open(io.BytesIO(png.encode(width, height, rgb))) as read:
        read.load()
        assert (read.format, read.mode, read.size) == ("PNG", "RGB", (width, height))
        assert read.tobytes() == rgb
