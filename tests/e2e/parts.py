# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The real parts: which QEMU, and the guest's kernel and file system.  Each is made when it is first asked for."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BUILD_TIMEOUT = 600


@dataclass(frozen=True)
class Guest:
    kernel: Path
    initrd: Path


@functools.cache
def guest() -> Guest:
    folder = made_by(HERE / "guest" / "build")
    return Guest(folder / "vmlinux", folder / "initrd")


@functools.cache
def system_qemu() -> str:
    """The QEMU that is installed, unless it refuses this device without KVM; E2E_QEMU names another."""
    program = os.environ.get("E2E_QEMU") or shutil.which("qemu-system-x86_64")
    if program is None:
        return newest_qemu()
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    major = re.search(r"version (\d+)", version.stdout)
    if major is None or int(major[1]) < 8:
        return newest_qemu()
    return program


@functools.cache
def newest_qemu() -> str:
    """QEMU 11.1, of Debian 13's backports."""
    return str(made_by(HERE / "qemu" / "build") / "qemu")


def made_by(script: Path, **environment: str) -> Path:
    """What the script makes and then prints the place of."""
    made = subprocess.run(
        [script],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=BUILD_TIMEOUT,
        env=os.environ | environment,
    )
    return Path(made.stdout.strip())
