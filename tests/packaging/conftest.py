# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Roots of Debian's releases, and wheels that can be published, made once for all tests of this folder."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

FRESH_ROOT = Path(__file__).with_name("fresh_root")
BUILD_WHEELS = Path(__file__).parents[2] / "contrib/wheels/build"
# They download and compile, on machines that may be busy.
SECONDS = 600


class Release(NamedTuple):
    """Of Debian."""

    number: str
    name: str
    python: str


RELEASES = (Release("12", "bookworm", "3.11"), Release("13", "trixie", "3.13"))


def run(*command: str | Path) -> str:
    """What it writes; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.fixture(scope="session")
def fresh_root() -> Iterator[Callable[[Release], Path]]:
    """Makes the root of a release, or gives the one that is there: whoever writes into it removes that again."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        pytest.skip("a root takes root, and mmdebstrap")
    with TemporaryDirectory(prefix="vgpud-roots-") as folder:

        def root(release: Release) -> Path:
            place = Path(folder) / release.name
            if not place.exists():
                run(FRESH_ROOT, release.name, place)
            return place

        yield root


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By architecture."""
    folder = tmp_path_factory.mktemp("wheels")
    run(BUILD_WHEELS, folder)
    return {wheel.stem.partition("manylinux_2_28_")[2]: wheel for wheel in folder.glob("*.whl")}
