# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The units' limits where they count: under a kernel whose control groups have every controller."""

from __future__ import annotations

import pytest

from .conftest import Workshop
from .other_kernel import assert_passes_there


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("only_vgpud")
def test_a_machine_that_eats_memory_is_its_unit_s_only_loss(
    workshop: Workshop, request: pytest.FixtureRequest
) -> None:
    assert_passes_there(workshop, request.config, "tests/systemd/test_memory.py")
