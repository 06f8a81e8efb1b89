# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What is installed, and what is shipped beside it."""

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import vgpud

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.skipif("TEST_INSTALLED_VGPUD" not in os.environ, reason="tests/run sets it")
def test_the_installed_package_is_the_one_that_is_tested() -> None:
    assert ROOT not in Path(vgpud.__file__).parents or "site-packages" in vgpud.__file__
    # A process that starts elsewhere, as device processes do, gets the same one.
    found = subprocess.run(
        [sys.executable, "-c", "import vgpud; print(vgpud.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == vgpud.__file__


def test_the_extension_is_beside_the_package() -> None:
    names = [path.name for path in Path(vgpud.__file__).parent.glob("_native.*.so")]
    assert names == ["_native.abi3.so"]


def test_types_are_declared_to_be_there() -> None:
    assert (Path(vgpud.__file__).parent / "py.typed").exists()


def test_the_installed_version_is_the_package_s() -> None:
    assert importlib.metadata.version("vgpud") == vgpud.__version__


def test_the_installed_program_starts() -> None:
    program = Path(sys.executable).with_name("vgpud")
    result = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=True, timeout=30, cwd="/"
    )
    assert result.stdout == f"vgpud {vgpud.__version__}\n"


def imports_of(source: Path) -> Iterator[str]:
    """The first name of each module that it imports, at any place."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def test_everything_that_is_imported_is_required() -> None:
    """Every dependency is declared, and none is required without need."""
    imported = {name for path in (ROOT / "vgpud").rglob("*.py") for name in imports_of(path)}
    imported -= {*sys.stdlib_module_names, "vgpud"}
    # A compiled extension made with cffi needs cffi's own runtime module.
    required = {re.split(r"[>=<]", line)[0].replace("-", "_") for line in PROJECT["dependencies"]}
    assert imported - {"_cffi_backend"} == required - {"cffi"}


def test_the_descriptor_says_what_the_program_says() -> None:
    descriptor = json.loads((ROOT / "config/60-vgpud-gpu.json").read_text())
    printed = subprocess.run(
        [sys.executable, "-m", "vgpud", "--print-capabilities"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert descriptor["type"] == json.loads(printed.stdout)["type"] == "gpu"
    assert Path(descriptor["binary"]).is_absolute()
    assert Path(descriptor["binary"]).name == "vgpud"
    assert set(descriptor) == {"description", "type", "binary"}


@pytest.mark.parametrize("unit", ["vgpud.service", "vgpud@.service"])
def test_a_unit_starts_the_program_with_flags_that_it_has(unit: str) -> None:
    text = (ROOT / "contrib/systemd" / unit).read_text()
    (command,) = re.findall(r"^ExecStart=/usr/bin/vgpud (.*)$", text, re.MULTILINE)
    # systemd replaces %i with the name.
    arguments = command.replace("%i", "machine").split()
    result = subprocess.run(
        [sys.executable, "-m", "vgpud", *arguments, "--check-config"],
        capture_output=True,
        text=True,
        check=False,
    )
    # An instance needs no file, and is warned about one that was expected.
    said = [line for line in result.stderr.splitlines() if "there is no machine.toml" not in line]
    assert (result.returncode, said) == (0, [])


@pytest.mark.parametrize("name", ["LICENSE-APACHE", "LICENSE-BSD-3-Clause"])
def test_the_licences_are_installed(name: str) -> None:
    files = importlib.metadata.files("vgpud") or []
    assert any(file.name == name for file in files)


def test_every_source_file_names_its_licence() -> None:
    folders = ("vgpud", "native", "tests", "contrib", "man")
    suffixes = {".py", ".c", ".h", ".sh"}
    sources = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in suffixes
    ]
    assert len(sources) > 50
    line = "SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause"
    assert [path for path in sources if line not in path.read_text()[:200]] == []
