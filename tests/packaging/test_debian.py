# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The Debian package, installed, started and purged under a systemd of its own, on a fresh root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ..daemon.test_lifecycle import show
from ..driver.backend import Machine
from ..systemd.booted import CannotBootError, Systemd

FRESH_ROOT = Path(__file__).with_name("fresh_root")
BUILD = Path(__file__).parents[2] / "contrib/debian/build"
SECONDS = 280
PARTS = (
    "/usr/share/man/man8/vgpud.8.gz", "/usr/share/man/man1/vgpuctl.1.gz", "/usr/share/man/man5/vgpud.toml.5.gz",
    "/usr/share/qemu/vhost-user/60-vgpud-gpu.json", "/usr/share/bash-completion/completions/vgpud",
    "/usr/share/zsh/vendor-completions/_vgpud", "/usr/share/fish/vendor_completions.d/vgpud.fish",
    "/usr/lib/sysusers.d/vgpud.conf", "/usr/lib/tmpfiles.d/vgpud.conf", "/usr/bin/vgpuctl",
    "/lib/systemd/system/vgpud@.socket", "/etc/vgpud",
)  # fmt: skip

pytestmark = [
    pytest.mark.timeout(SECONDS),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can install a package"),
    pytest.mark.skipif(shutil.which("dh") is None, reason="debhelper is not installed"),
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="mmdebstrap is not installed"),
]


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deb")
    run(BUILD, folder)
    return next(folder.glob("vgpud_*.deb"))


@pytest.fixture(scope="module")
def fresh_root() -> Iterator[Path]:
    with TemporaryDirectory(prefix="vgpud-root-") as folder:
        root = Path(folder) / "root"
        run(FRESH_ROOT, root)
        yield root


@pytest.fixture(scope="module")
def host(fresh_root: Path) -> Iterator[Systemd]:
    """Without the units and the program that other tests put there."""
    try:
        booted = Systemd(fresh_root)
    except CannotBootError as error:
        pytest.skip(f"no systemd to test under: {error}")
    with booted:
        for file in booted.path("/etc/systemd/system").glob("vgpud*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        booted.path("/usr/bin/vgpud").unlink()
        booted.path("/etc/vgpud").rmdir()
        booted.do("daemon-reload")
        yield booted


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
        assert "machine 1, process" in status.stdout, status.stderr

    done = inside(host, "apt-get", "purge", "--yes", "vgpud")
    assert done.returncode == 0, done.stderr
    for unit in ("vgpud.service", "vgpud@test.service", "vgpud@test.socket"):
        assert host.ask("is-active", unit) != "active", unit
    assert not host.socket("test").exists()
    for part in PARTS:
        assert not host.path(part).exists(), part
    assert not host.path("/usr/lib/vgpud").exists()
