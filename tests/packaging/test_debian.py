# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The Debian package, installed, started and purged under a systemd of its own, on a fresh root of each release."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ..daemon.running import show
from ..driver.backend import Machine
from ..systemd.booted import CannotBootError, Systemd
from .conftest import RELEASES, SECONDS, Release, run

BUILD = Path(__file__).parents[2] / "contrib/debian/build"
PARTS = (
    "/usr/share/man/man8/vgpud.8.gz", "/usr/share/man/man1/vgpuctl.1.gz", "/usr/share/man/man5/vgpud.toml.5.gz",
    "/usr/share/qemu/vhost-user/60-vgpud-gpu.json", "/usr/share/bash-completion/completions/vgpud",
    "/usr/share/zsh/vendor-completions/_vgpud", "/usr/share/fish/vendor_completions.d/vgpud.fish",
    "/usr/lib/sysusers.d/vgpud.conf", "/usr/lib/tmpfiles.d/vgpud.conf", "/usr/bin/vgpuctl",
    "/lib/systemd/system/vgpud@.socket", "/etc/vgpud", "/etc/apparmor.d/vgpud", "/etc/apparmor.d/abstractions/vgpud",
)  # fmt: skip

pytestmark = [
    pytest.mark.timeout(SECONDS),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can install a package"),
    pytest.mark.skipif(shutil.which("dh") is None, reason="debhelper is not installed"),
]


@pytest.fixture(scope="module", params=RELEASES, ids=lambda release: release.name)
def release(request: pytest.FixtureRequest) -> Release:
    chosen: Release = request.param
    return chosen


@pytest.fixture(scope="module")
def package(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deb")
    run(BUILD, folder, release.number)
    return next(folder.glob(f"vgpud_*~deb{release.number}_*.deb"))


@pytest.fixture(scope="module")
def host(release: Release, fresh_root: Callable[[Release], Path]) -> Iterator[Systemd]:
    """Without the units and the program that other tests put there."""
    try:
        booted = Systemd(fresh_root(release))
    except CannotBootError as error:
        pytest.skip(f"no systemd to test under: {error}")
    with booted:
        for file in booted.path("/etc/systemd/system").glob("vgpud*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        booted.path("/usr/bin/vgpud").unlink()
        booted.path("/etc/vgpud").rmdir()
        booted.do("daemon-reload")
        yield booted


def test_the_licences_of_all_that_is_bundled_are_named(package: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "--extract", package, tmp_path)
    bundled = {
        path.name
        for path in (tmp_path / "usr/lib/vgpud").iterdir()
        if not path.name.endswith(".dist-info") and path.name != "vgpud"
    }
    text = (tmp_path / "usr/share/doc/vgpud/copyright").read_text()
    paragraphs = [
        dict(re.findall(r"^([\w-]+): (.*)$", part, re.MULTILINE)) for part in text.split("\n\n")
    ]
    patterns = [
        pattern.removeprefix("usr/lib/vgpud/").removesuffix("/*")
        for paragraph in paragraphs
        for pattern in paragraph.get("Files", "").split()
    ]
    assert bundled
    assert [name for name in bundled if not any(fnmatch(name, one) for one in patterns[1:])] == []
    named = {
        licence
        for paragraph in paragraphs
        if "Files" in paragraph
        for licence in re.split(" and | or ", paragraph["License"])
    }
    assert named == {
        paragraph["License"] for paragraph in paragraphs if set(paragraph) == {"License"}
    }


def inside(host: Systemd, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["nsenter", f"--target={host.pid}", "--mount", "--pid", *words],
        capture_output=True, text=True, check=False, timeout=60, cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip


def test_it_is_installed_started_and_purged(package: Path, host: Systemd) -> None:
    shutil.copy(package, host.path("/run/vgpud.deb"))
    done = inside(host, "apt-get", "install", "--yes", "/run/vgpud.deb")
    assert done.returncode == 0, done.stderr
    for part in PARTS:
        assert host.path(part).exists(), part
    assert inside(host, "dpkg", "--verify", "vgpud").stdout == ""
    assert inside(host, "vgpud", "--print-capabilities").returncode == 0
    assert host.ask("is-active", "vgpud.service") == "inactive"

    host.do("start", "vgpud.service")
    host.do("start", "vgpud@test.socket")
    assert host.property("vgpud.service", "StatusText") == "2D in software; no machine"
    with Machine(host.socket("test")) as machine:
        show(machine)
        assert host.ask("is-active", "vgpud@test.service") == "active"
        status = inside(host, "vgpuctl", "-s", "/run/vgpud/test/vgpud.sock", "status")
        assert "machine test: up" in status.stdout, status.stderr

    done = inside(host, "apt-get", "purge", "--yes", "vgpud")
    assert done.returncode == 0, done.stderr
    for unit in ("vgpud.service", "vgpud@test.service", "vgpud@test.socket"):
        assert host.ask("is-active", unit) != "active", unit
    assert not host.socket("test").exists()
    for part in PARTS:
        assert not host.path(part).exists(), part
    assert not host.path("/usr/lib/vgpud").exists()
