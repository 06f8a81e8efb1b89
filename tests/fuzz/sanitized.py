# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The program with an extension that has AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("libasan.so", "libubsan.so")


def build(folder: Path) -> Path:
    """Puts the package there; what is to be in PYTHONPATH."""
    shutil.copytree(
        ROOT / "vgpud", folder / "vgpud", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    command: list[str | Path] = [
        sys.executable,
        ROOT / "native" / "build.py",
        "--sanitize",
        "--output",
    ]
    subprocess.run([*command, folder / "vgpud"], check=True, stdout=subprocess.DEVNULL)
    return folder


def environment(package: Path) -> dict[str, str]:
    """For a program that is to run that package.  Leaks are the interpreter's."""
    return {
        "PYTHONPATH": str(package),
        # Not the package that lies where we run.
        "PYTHONSAFEPATH": "1",
        "PYTHONMALLOC": "malloc",
        # First in a process that is not built with them.
        "LD_PRELOAD": " ".join(map(_library, LIBRARIES)),
        "ASAN_OPTIONS": "detect_leaks=0:handle_sigbus=0:allow_user_segv_handler=1:abort_on_error=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }


def _library(name: str) -> str:
    command = ["gcc", f"-print-file-name={name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
