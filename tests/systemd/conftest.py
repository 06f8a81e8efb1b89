# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One systemd for all tests of this folder: it boots in a second or two."""

from collections.abc import Iterator

import pytest

from .booted import CannotBootError, Systemd


# It is a child of this process, which other folders' tests count.
@pytest.fixture(scope="package")
def systemd() -> Iterator[Systemd]:
    try:
        booted = Systemd()
    except CannotBootError as error:
        pytest.skip(f"no systemd to test under: {error}")
    with booted:
        yield booted
