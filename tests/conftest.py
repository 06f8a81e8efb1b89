# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a computer that runs the tests may lack, time included."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

from .driver import fuse
from .driver.descriptors import SILENT_FILE

# How long one example takes, or making it, says how busy the machine is, and nothing of what it tests.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture(scope="session")
def no_fuse() -> str:
    """Why there can be no FUSE file; nothing when there can."""
    return fuse.why_not()


@pytest.fixture
def possible(no_fuse: str) -> Callable[[str], None]:
    """Skips a kind of descriptor that this computer does not have."""

    def check(kind: str) -> None:
        if kind == SILENT_FILE and no_fuse:
            pytest.skip(no_fuse)

    return check
