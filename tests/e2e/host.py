# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Debian 13 as the host of vgpud, whatever the machine is: its Python, virglrenderer and Mesa."""

from __future__ import annotations

import os
import subprocess

from .parts import BUILD_TIMEOUT, HERE

ENTER = HERE / "host" / "enter"
NEWER_MESA = "trixie,trixie-backports"
"""Suites whose lavapipe can wait for a semaphore of another's, without which Venus shows nothing in a window."""


def suites(wanted: str = "trixie") -> str:
    """Where the host's packages are from, unless E2E_HOST says it."""
    return os.environ.get("E2E_HOST", wanted)


def run(*command: str, timeout: float = BUILD_TIMEOUT, packages: str = "trixie") -> str:
    """What a command prints there."""
    done = subprocess.run(
        [ENTER, *command],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"E2E_HOST": suites(packages)},
    )
    return done.stdout


def vgpud_command(packages: str = "trixie") -> list[str]:
    """The command line of this tree's vgpud there, which is compiled first."""
    run("true", packages=packages)
    chosen = f"E2E_HOST={suites(packages)}"
    return ["env", chosen, str(ENTER), "python3", "-m", "vgpud"]
