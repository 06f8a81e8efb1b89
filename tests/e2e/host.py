# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Debian 13 as the host of vgpud, whatever the machine is: its Python, virglrenderer and Mesa."""

from __future__ import annotations

import subprocess

from .parts import BUILD_TIMEOUT, HERE

ENTER = HERE / "host" / "enter"


def run(*command: str, timeout: float = BUILD_TIMEOUT) -> str:
    """What a command prints there."""
    done = subprocess.run(
        [ENTER, *command], stdout=subprocess.PIPE, check=True, text=True, timeout=timeout
    )
    return done.stdout


def vgpud_command() -> list[str]:
    """The command line of this tree's vgpud there, which is compiled first."""
    run("true")
    return [str(ENTER), "python3", "-m", "vgpud"]
