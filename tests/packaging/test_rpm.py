# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The RPM package, installed into a root of its own and removed from it: files, scriptlets, what it asks for."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import vgpud

from ..driver.own_mounts import takes_own_mounts
from .conftest import RELEASES, SECONDS, Release, run

BUILD = Path(__file__).parents[2] / "contrib/rpm/build"
PARTS = (
    "/usr/share/man/man8/vgpud.8", "/usr/share/man/man1/vgpuctl.1", "/usr/share/man/man5/vgpud.toml.5",
    "/usr/share/qemu/vhost-user/60-vgpud-gpu.json", "/usr/share/bash-completion/completions/vgpud",
    "/usr/share/zsh/site-functions/_vgpud", "/usr/share/fish/vendor_completions.d/vgpud.fish",
    "/usr/lib/sysusers.d/vgpud.conf", "/usr/lib/tmpfiles.d/vgpud.conf", "/usr/bin/vgpud", "/usr/bin/vgpuctl",
    "/usr/lib/systemd/system/vgpud@.socket", "/usr/lib/vgpud/vgpud/_native.abi3.so", "/etc/vgpud",
    "/etc/apparmor.d/vgpud", "/etc/apparmor.d/abstractions/vgpud/program",
)  # fmt: skip

# systemd-tmpfiles, a scriptlet's, does nothing without.
WITH_PROC = ("unshare", "--mount", "sh", "-c", 'mount -t proc proc "$0/proc" && exec "$@"')

pytestmark = [
    pytest.mark.timeout(SECONDS),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can install a package"),
    pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="rpmbuild is not installed"),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rpm")
    run(BUILD, folder)
    return next(folder.glob(f"vgpud-{vgpud.__version__}-*.rpm"))


def asked(package: Path, what: str) -> set[str]:
    return set(run("rpm", "--query", "--package", f"--{what}", package).splitlines())


def own_release() -> Release:
    """The package is for the interpreter that it was built with, which is that of this machine."""
    python = run("/usr/bin/python3", "--version").split()[1]
    found = [one for one in RELEASES if python.startswith(f"{one.python}.")]
    return found[0] if found else pytest.skip(f"no release here has Python {python}")


def test_all_that_is_bundled_is_named(package: Path) -> None:
    named = {
        line.removeprefix("bundled(python3-").removesuffix(")")
        for line in asked(package, "provides")
        if line.startswith("bundled(")
    }
    bundled = {
        Path(name).name.split("-")[0]
        for name in asked(package, "list")
        if name.endswith(".dist-info")
    }
    assert named == bundled - {"vgpud"} != set()


def test_it_asks_for_what_its_own_files_need(package: Path) -> None:
    needed = asked(package, "requires")
    assert "/usr/bin/python3" in needed
    assert any(line.startswith("libc.so.6(GLIBC_") for line in needed)
    assert any(line.startswith("python(abi) = ") for line in needed)


def installed(root: Path, part: str) -> bool:
    # Newer releases of rpm compress manual pages.
    name = f"{part}*" if "/man/" in part else part
    return any(root.glob(name.lstrip("/")))


@takes_own_mounts
def test_it_is_installed_and_removed(
    package: Path, fresh_root: Callable[[Release], Path], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    run("cp", "--archive", fresh_root(own_release()), root)
    # What it asks for came from packages that rpm does not know.
    run(*WITH_PROC, root, "rpm", "--root", root, "--install", "--nodeps", package)
    try:
        assert [part for part in PARTS if not installed(root, part)] == []
        assert "vgpud:" in (root / "etc/passwd").read_text()
        assert (root / "run/vgpud").is_dir()
        assert run("rpm", "--root", root, "--verify", "--nodeps", "vgpud") == ""
        assert run("chroot", root, "vgpud", "--version") == f"vgpud {vgpud.__version__}\n"
        assert '"type": "gpu"' in run("chroot", root, "vgpud", "--print-capabilities")
        assert "usage" in run("chroot", root, "vgpuctl", "--help").lower()
    finally:
        run(*WITH_PROC, root, "rpm", "--root", root, "--erase", "--nodeps", "vgpud")
    assert [part for part in PARTS if installed(root, part)] == []
    assert not (root / "usr/lib/vgpud").exists()
