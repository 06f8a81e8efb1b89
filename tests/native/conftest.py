# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Fixtures of the native parts' tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from .presenting import Presenting


def open_descriptors() -> int:
    """Those of another test's memory maps may go at any time, so later there may be fewer."""
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def presenting() -> Iterator[Presenting]:
    """It must leave no descriptor open and have sent nothing that would crash QEMU."""
    before = open_descriptors()
    presenting = Presenting()
    yield presenting
    presenting.close()
    assert open_descriptors() <= before, "descriptors were left open"
