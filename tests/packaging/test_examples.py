# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What README.md and docs/ tell a reader to type means the same in bash and in zsh, and is what vgpud and vgpuctl take.

It is typed: an interactive zsh knows no comments.  In the place of every command there is a program that writes down what it was called
with; those that set something up are run for what they do elsewhere.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from vgpud.cli import arguments as daemon_arguments
from vgpud.ctl import arguments as client_arguments

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELLS = {"bash": ("bash", "--norc", "-i"), "zsh": ("zsh", "-f", "-i")}
RECORDER = """#!{python}
import json, sys
with open({record!r}, "a") as record:
    record.write(json.dumps([{word!r}, *sys.argv[1:]]) + "\\n")
"""
WORD = re.compile(r"^[ ]*(?:sudo )?([a-z][\w./-]*)(?= |$)", re.MULTILINE)


class Example(NamedTuple):
    """A block of a page, which begins in that line."""

    page: str
    line: int
    text: str


def examples() -> list[Example]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for block in re.finditer(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, block.start()) + 1
            found.append(Example(str(page.relative_to(ROOT)), line, block[1]))
    return found


def typed(shell: str, example: Example, folder: Path) -> list[list[str]]:
    """What each command was called with."""
    folder.mkdir()
    record = folder / "record"
    record.touch()
    for word in set(WORD.findall(example.text)):
        program = folder / word
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(RECORDER.format(python=sys.executable, record=str(record), word=word))
        program.chmod(0o755)
    done = subprocess.run(
        SHELLS[shell], input=example.text, capture_output=True, text=True, timeout=60, cwd=folder,
        env={"PATH": str(folder), "HOME": str(folder), "TERM": "dumb", "XDG_RUNTIME_DIR": "/run/user/1000"},
        executable=shutil.which(shell), start_new_session=True,
    )  # fmt: skip
    assert "not found" not in done.stderr, done.stderr
    return [json.loads(line) for line in record.read_text().splitlines()]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
@pytest.mark.parametrize("example", examples(), ids=lambda one: f"{one.page}:{one.line}")
def test_what_is_typed_means_the_same_in_both_shells(example: Example, tmp_path: Path) -> None:
    commands = {shell: typed(shell, example, tmp_path / shell) for shell in SHELLS}
    assert commands["bash"] == commands["zsh"]
    assert commands["bash"]


def command_lines(program: str) -> list[str]:
    """All of a program's that are shown, within a line of text too, without what stands for something else."""
    found = []
    for page in PAGES:
        text = page.read_text()
        blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        found += re.findall(rf"^(?:sudo )?{program} .*", blocks.replace("\\\n", " "), re.MULTILINE)
        found += re.findall(rf"`((?:sudo )?{program} [^`…]*)`", text)
    return sorted({line.removeprefix("sudo ") for line in found})


@pytest.mark.parametrize("line", command_lines("vgpud"))
def test_vgpud_takes_what_is_shown(line: str) -> None:
    parsed = daemon_arguments.parse(shlex.split(line)[1:])
    assert parsed.mistakes == []


@pytest.mark.parametrize("line", command_lines("vgpuctl"))
def test_vgpuctl_takes_what_is_shown(line: str) -> None:
    words = shlex.split(line)[1:]
    if len(words) > 1:
        client_arguments.parser().parse_args(words)
        return
    # A command that is only named.
    with pytest.raises(SystemExit) as ended:
        client_arguments.parser().parse_args([*words, "--help"])
    assert ended.value.code == 0
