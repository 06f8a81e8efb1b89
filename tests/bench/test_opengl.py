# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""GL programs are measured by both servers."""

import pytest

from contrib.bench import opengl
from tests.device.process import opengl_unavailable
from tests.vtest.servers import REFERENCE, SUBJECT

pytestmark = [
    pytest.mark.skipif(bool(opengl_unavailable()), reason=opengl_unavailable()),
    pytest.mark.skipif(bool(opengl.missing()), reason=f"not installed: {opengl.missing()}"),
]


def test_a_scene_gives_all_its_numbers() -> None:
    samples = opengl.measure(opengl.Scene("texture"), 0.01)
    keys = {(SUBJECT, "rate"), (SUBJECT, "ratio"), (REFERENCE, "rate")}
    assert {(peer, key) for peer, _, key in samples} == keys
    # A client that draws nothing has nothing to compare.
    assert all(value > 0 for values in samples.values() for value in values)
