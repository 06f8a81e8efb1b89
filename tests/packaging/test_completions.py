# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the shells themselves complete.  That the files are up to date is tested with the manuals."""

import os
import pty
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from vgpud.cli.arguments import ACTIONS
from vgpud.config.options import OPTIONS
from vgpud.config.schema import LEVELS
from vgpud.ctl.commands import COMMANDS
from vgpud.modes import CAPSETS, MODES

FOLDER = Path(__file__).parents[2] / "contrib/completions"
SECONDS = 30
FLAGS = {flag for option in OPTIONS for flag in (*option.flags, *option.presets)}
FLAGS |= {name for names, _, _ in ACTIONS for name in names}
LONG_FLAGS = {flag for flag in FLAGS if flag.startswith("--")}

BASH = """
source "$1"
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
"_$2"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# Asks for a completion as soon as there is a line to edit, and writes down what is offered.
ZSH = """
fpath=($FOLDER $fpath)
autoload -U compinit
compinit -u -D
setopt no_auto_list
compadd() {
    if [[ ${@[1,(i)(-|--)]} != *-[OAD]\\ * ]]; then
        local -a offered
        builtin compadd -O offered "$@"
        print -rl -- $offered >>$OFFERED
    fi
    builtin compadd "$@"
}
zle-line-init() { BUFFER=$LINE CURSOR=$#LINE; zle complete-word; exit 0 }
zle -N zle-line-init
"""


def bash(line: str, work: Path) -> set[str]:
    words = [word for word in re.split(r"(=)| ", line) if word]
    words += [""] if line.endswith(" ") else []
    done = _run(["bash", "--norc", "-c", BASH, "bash", FOLDER / "bash" / words[0], *words], work)
    return {word for word in done.splitlines() if word}


def fish(line: str, work: Path) -> set[str]:
    script = f"source {FOLDER}/fish/{line.split()[0]}.fish; complete -C '{line}'"
    done = _run(["fish", "--no-config", "-c", script], work)
    return {word.partition("\t")[0].rstrip("=").rpartition("=")[2] for word in done.splitlines()}


def zsh(line: str, work: Path) -> set[str]:
    (work / ".zshrc").write_text(ZSH)
    offered = work / "offered"
    offered.write_text("")
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            ["zsh", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, cwd=work, check=False,
            timeout=SECONDS, start_new_session=True,
            env={"PATH": os.environ["PATH"], "HOME": str(work), "ZDOTDIR": str(work), "TERM": "xterm",
                 "FOLDER": str(FOLDER / "zsh"), "OFFERED": str(offered), "LINE": line},
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    return {word.rstrip("=") for word in offered.read_text().splitlines() if word}


def _run(command: list[str | Path], work: Path) -> str:
    return subprocess.run(
        command, cwd=work, capture_output=True, text=True, check=False, timeout=SECONDS,
        env={"PATH": os.environ["PATH"], "HOME": str(work)},
    ).stdout  # fmt: skip


Shell = Callable[[str, Path], set[str]]


@pytest.fixture(params=[bash, zsh, fish], ids=lambda shell: shell.__name__)
def shell(request: pytest.FixtureRequest) -> Shell:
    asked: Shell = request.param
    if shutil.which(request.param.__name__) is None:
        pytest.skip("not installed")
    return asked


def test_no_flag_is_missing(shell: Shell, tmp_path: Path) -> None:
    assert shell("vgpud --", tmp_path) == LONG_FLAGS
    assert shell("vgpud -", tmp_path) >= {flag for flag in FLAGS if len(flag) == 2}


def test_no_command_is_missing(shell: Shell, tmp_path: Path) -> None:
    offered = {word.partition(":")[0] for word in shell("vgpuctl ", tmp_path)}
    assert set(COMMANDS) <= offered


@pytest.mark.parametrize("line", ["vgpud --gpu-mode ", "vgpud --gpu-mode=", "vgpud --virgl -g "])
def test_the_modes_are_offered(shell: Shell, tmp_path: Path, line: str) -> None:
    assert set(MODES) == shell(line, tmp_path)


def test_one_capability_set_may_follow_another(shell: Shell, tmp_path: Path) -> None:
    assert set(CAPSETS) == shell("vgpud --capset ", tmp_path)
    offered = {word.removeprefix("virgl,") for word in shell("vgpud --capset virgl,ven", tmp_path)}
    assert "venus" in offered
    assert "drm" not in offered


def test_a_switch_may_have_a_value(shell: Shell, tmp_path: Path) -> None:
    assert shell("vgpud --headless=", tmp_path) == {"true", "false"}
    assert shell("vgpud --headless --log-le", tmp_path) == {"--log-level"}


def test_files_are_offered_where_one_is_wanted(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "machine.sock").touch()
    for line in ("vgpud --socket-path mach", "vgpud --config mach", "vgpuctl -s mach",
                 "vgpuctl screenshot mach"):  # fmt: skip
        assert shell(line, tmp_path) == {"machine.sock"}, line


def test_a_command_has_flags_and_places_of_its_own(shell: Shell, tmp_path: Path) -> None:
    assert shell("vgpuctl -s a.sock status --wa", tmp_path) == {"--watch"}
    assert shell("vgpuctl log-level ", tmp_path) == set(LEVELS)
    assert shell("vgpuctl displays ", tmp_path) == {"set"}
    assert shell("vgpuctl displays set ", tmp_path) == {"off"}
    assert shell("vgpuctl displays --scanout 1 set ", tmp_path) == {"off"}
