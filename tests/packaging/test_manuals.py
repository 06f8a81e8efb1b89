# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The manuals say what the program does, and are clean."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vgpud.cli.arguments import ACTIONS
from vgpud.config.options import DISPLAY_OPTIONS, OPTIONS
from vgpud.ctl.commands import COMMANDS
from vgpud.errors import EXIT_CONFIGURATION, EXIT_INTERNAL, EXIT_RENDERER_UNAVAILABLE

ROOT = Path(__file__).parents[2]
PROGRAM, FILE = ROOT / "man/vgpud.8", ROOT / "man/vgpud.toml.5"
CONTROL = ROOT / "man/vgpuctl.1"
PAGES = [PROGRAM, FILE, CONTROL]


def rendered(page: Path) -> str:
    """The page as a reader sees it, without formatting."""
    result = subprocess.run(
        ["mandoc", "-T", "utf8", "-O", "width=200", page],
        capture_output=True,
        text=True,
        check=True,
    )
    return re.sub(".\b", "", result.stdout)


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def test_the_lists_are_those_of_the_program() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "man/generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@needs("mandoc")
def test_the_program_s_manual_has_every_flag_and_variable() -> None:
    words = set(re.split(r"[\s,]+", rendered(PROGRAM)))
    flags = {flag for option in OPTIONS for flag in (*option.flags, *option.presets)}
    flags |= {name for names, _, _ in ACTIONS for name in names}
    assert flags | {name for option in OPTIONS for name in option.variables} <= words


@needs("mandoc")
def test_the_program_s_manual_has_every_exit_status() -> None:
    text = rendered(PROGRAM).partition("EXIT STATUS")[2]
    for status in (0, EXIT_RENDERER_UNAVAILABLE, EXIT_INTERNAL, EXIT_CONFIGURATION):
        assert re.search(rf"^ +{status} ", text, re.MULTILINE)


@needs("mandoc")
def test_the_control_program_s_manual_has_every_command_and_flag() -> None:
    words = set(re.split(r"[\s,\[\]]+", rendered(CONTROL)))
    flags = {"--socket-path", "--version", "--json", "--watch", "--scanout", "--machine"}
    assert flags | set(COMMANDS) <= words


@needs("mandoc")
def test_the_file_s_manual_has_every_key_under_its_table() -> None:
    tables = dict(
        re.findall(
            r"^   \[+(\w+)\]+\n(.*?)(?=^   \[|^\S)", rendered(FILE), re.MULTILINE | re.DOTALL
        )
    )
    for option in (*OPTIONS, *DISPLAY_OPTIONS):
        assert re.search(rf"^ +{option.name} = ", tables[option.section], re.MULTILINE), option.key


@needs("mandoc")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_finds_nothing_to_improve(page: Path) -> None:
    result = subprocess.run(
        ["mandoc", "-T", "lint", page], capture_output=True, text=True, check=False
    )
    # Whether other pages are installed says nothing about this one.
    noise = ("referenced manual not found", "outdated mandoc.db")
    assert [
        line for line in result.stdout.splitlines() if not any(part in line for part in noise)
    ] == []


@needs("man")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_man_formats_it_without_a_warning(page: Path) -> None:
    result = subprocess.run(
        ["man", "--warnings", "--local-file", page],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"},
    )
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) > 50
