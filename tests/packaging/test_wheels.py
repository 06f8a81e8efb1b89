# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The wheels that can be published: what they ask of a machine, and that they run where nothing was built."""

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vgpud
from vgpud.native import lib

from ..daemon.running import show, wait_until
from ..driver.backend import Machine
from ..driver.own_mounts import takes_own_mounts
from .conftest import RELEASES, SECONDS, Release, run

GLIBC = (2, 28)
# That C library's own: PEP 600 promises no more.
LIBRARIES = re.compile(r"(libc|libm|libdl|libpthread|librt|ld-linux-[\w-]+)\.so\.\d")
PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
ARCHITECTURES = ("x86_64", "aarch64")
# A root of its own, with processes and terminals of its own, which end with `unshare`.
INSIDE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
ENTER = 'mount -t proc proc "$0/proc"; exec chroot "$0" env PYTHONPATH=/opt/vgpud python3 "$@"'

pytestmark = pytest.mark.timeout(SECONDS)


@pytest.fixture(params=ARCHITECTURES)
def extension(request: pytest.FixtureRequest, wheels: dict[str, Path], tmp_path: Path) -> Path:
    with zipfile.ZipFile(wheels[request.param]) as wheel:
        return Path(wheel.extract("vgpud/_native.abi3.so", tmp_path))


def test_their_names_say_what_they_are_for(wheels: dict[str, Path]) -> None:
    assert {wheel.name for wheel in wheels.values()} == {
        f"vgpud-{vgpud.__version__}-cp311-abi3-manylinux_2_28_{name}.whl" for name in ARCHITECTURES
    }


def test_an_extension_needs_no_newer_c_library_than_its_name_says(extension: Path) -> None:
    versions = re.findall(r"Name: GLIBC_(\d+)\.(\d+)", run("readelf", "--version-info", extension))
    assert versions
    assert max((int(major), int(minor)) for major, minor in versions) <= GLIBC


def test_an_extension_needs_no_other_library(extension: Path) -> None:
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "--dynamic", extension))
    assert needed
    assert [name for name in needed if not LIBRARIES.fullmatch(name)] == []


@pytest.fixture(params=RELEASES, ids=lambda release: release.name)
def root(
    request: pytest.FixtureRequest, wheels: dict[str, Path], fresh_root: Callable[[Release], Path]
) -> Iterator[Path]:
    """With the wheel and what it depends on in /opt/vgpud, as pip chooses it for that interpreter."""
    release: Release = request.param
    root = fresh_root(release)
    platforms = [f"--platform={platform}_x86_64" for platform in PLATFORMS]
    run(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet",
        "--only-binary=:all:", f"--python-version={release.python}", *platforms,
        "--target", root / "opt/vgpud", wheels["x86_64"],
    )  # fmt: skip
    yield root
    shutil.rmtree(root / "opt/vgpud")


@takes_own_mounts
def test_a_machine_is_served_in_a_root_of_debian(root: Path) -> None:
    wide = "from vgpud.native import lib; print(lib.processor_has_avx2())"
    assert run(*INSIDE, "sh", "-c", ENTER, root, "-c", wide).strip() == str(
        lib.processor_has_avx2()
    )
    socket = root / "run/vgpud.sock"
    daemon = subprocess.Popen(
        [*INSIDE, "sh", "-c", ENTER, root, "-m", "vgpud", "--socket-path", "/run/vgpud.sock"],
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until(socket.exists)
        with Machine(socket) as machine:
            show(machine)
    finally:
        daemon.kill()
        daemon.wait()
        socket.unlink()
