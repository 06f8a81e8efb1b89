# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One libvirt for all tests of this folder."""

import shutil
from collections.abc import Iterator

import pytest

from ..systemd.booted import CannotBootError, Systemd
from .hypervisor import PROGRAMS, Hypervisor


@pytest.fixture(scope="session")
def hypervisor() -> Iterator[Hypervisor]:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    try:
        booted = Systemd()
    except CannotBootError as error:
        pytest.skip(f"no root of its own for libvirt: {error}")
    with booted:
        yield Hypervisor(booted)
