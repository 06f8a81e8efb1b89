# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a library alone takes, measured by a process of its own, in turn with vgpud."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Reference:
    """The process that measures, seen from this one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def measure(self) -> list[float]:
        """The seconds of each thing that it does once."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return list(map(float, self._process.stdout.readline().split()))


@contextmanager
def reference(
    module: str, *arguments: object, environment: Mapping[str, str] | None = None
) -> Iterator[Reference]:
    """A module that measures once for each line of its standard input."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        yield Reference(process)
