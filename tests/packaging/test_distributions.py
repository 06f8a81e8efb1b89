# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The wheel where there is no compiler, and the source distribution where there is one."""

import json
import os
import platform
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import vgpud

from ..daemon.running import show, wait_until
from ..driver.backend import Machine
from ..driver.own_mounts import takes_own_mounts

ROOT = Path(__file__).parents[2]
SECONDS = 200
PARTS = (
    "LICENSE-APACHE", "LICENSE-BSD-3-Clause", "README.md", "config/60-vgpud-gpu.json", "config/vgpud.toml",
    "contrib/completions/zsh/_vgpud", "contrib/systemd/vgpud@.socket", "man/vgpud.8", "native/build.py",
    "native/hatch_build.py", "native/ring/queue.c", "pyproject.toml", "tests/run", "vgpud/__main__.py",
)  # fmt: skip
SHARED = (
    "man/man1/vgpuctl.1", "man/man5/vgpud.toml.5", "man/man8/vgpud.8", "qemu/vhost-user/60-vgpud-gpu.json",
    "bash-completion/completions/vgpud", "bash-completion/completions/vgpuctl",
    "zsh/site-functions/_vgpud", "zsh/site-functions/_vgpuctl",
    "fish/vendor_completions.d/vgpud.fish", "fish/vendor_completions.d/vgpuctl.fish",
)  # fmt: skip
# In a mount namespace of its own every compiler is a file that cannot be run.
WITHOUT_COMPILER = """
IFS=:
for folder in $PATH; do
    for program in "$folder"/{,*-}{gcc,cc,g++,c++,clang,tcc}{,-[0-9]*}; do
        [ ! -e "$program" ] || mount --bind /dev/null "$(readlink -f "$program")" 2>/dev/null || true
    done
done
exec "$@"
"""

# They download what they need to build, and compile.
pytestmark = pytest.mark.timeout(280)


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=SECONDS, cwd="/",
        env={name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CC")},
    )  # fmt: skip


def without_compiler(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return run("unshare", "--mount", "bash", "-c", WITHOUT_COMPILER, "bash", *command)


def pip(environment: Path, *words: str | Path) -> tuple[str | Path, ...]:
    program = environment / "bin/python"
    return (program, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *words)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """Built from the source distribution, as a stranger would."""
    done = run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", source.parent, source
    )
    assert done.returncode == 0, done.stderr
    return next(source.parent.glob("*.whl"))


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    assert run(sys.executable, "-m", "venv", tmp_path / "venv").returncode == 0
    return tmp_path / "venv"


def test_the_source_distribution_has_every_part(source: Path) -> None:
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(PARTS) <= names
    tracked = {path.relative_to(ROOT).as_posix() for path in (ROOT / "vgpud").rglob("*.py")}
    assert tracked <= names
    assert not [name for name in names if name.endswith((".so", ".new", ".pyc"))]


def test_the_wheel_is_for_every_interpreter_and_this_machine_and_says_so(wheel: Path) -> None:
    # Not manylinux, which would promise older C libraries than the one that it was linked with.
    assert wheel.name == f"vgpud-{vgpud.__version__}-cp311-abi3-linux_{platform.machine()}.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "vgpud/_native.abi3.so" in names
    for part in SHARED:
        assert any(name.endswith(f".data/data/share/{part}") for name in names), part


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide the compilers")
@takes_own_mounts
def test_the_wheel_runs_where_there_is_no_compiler(wheel: Path, environment: Path) -> None:
    assert without_compiler("gcc", "--version").returncode != 0
    done = without_compiler(*pip(environment, wheel))
    assert done.returncode == 0, done.stderr
    for part in SHARED:
        assert (environment / "share" / part).exists()
    _runs(environment)


def test_the_source_distribution_runs_where_there_is_a_compiler(
    source: Path, environment: Path
) -> None:
    done = run(*pip(environment, source))
    assert done.returncode == 0, done.stderr
    _runs(environment)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide the compilers")
@takes_own_mounts
def test_the_source_distribution_says_that_a_compiler_is_missing(
    source: Path, environment: Path
) -> None:
    done = without_compiler(*pip(environment, "--no-deps", source))
    assert done.returncode != 0
    assert "there is no C compiler" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def _runs(environment: Path) -> None:
    program = environment / "bin/vgpud"
    assert output(program, "--version") == f"vgpud {vgpud.__version__}\n"
    assert json.loads(output(program, "--print-capabilities"))["type"] == "gpu"
    socket = environment / "socket"
    daemon = subprocess.Popen(
        [program, "--socket-path", socket], stderr=subprocess.DEVNULL, cwd="/"
    )
    try:
        assert wait_until(socket.exists)
        with Machine(socket) as machine:
            show(machine)
            status = output(environment / "bin/vgpuctl", "-s", socket, "status")
            assert "machine 1, process" in status
    finally:
        daemon.terminate()
        assert daemon.wait(10) == 0


def output(*command: str | Path) -> str:
    done = run(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout
