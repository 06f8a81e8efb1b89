# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What takes too long for every run of the tests."""

from __future__ import annotations

import os

import pytest


def takes(how_long: str) -> pytest.MarkDecorator:
    """The mark of a test that only runs with ``E2E_LONG`` in the environment."""
    return pytest.mark.skipif(
        not os.environ.get("E2E_LONG"), reason=f"{how_long}: E2E_LONG=1 runs it"
    )
