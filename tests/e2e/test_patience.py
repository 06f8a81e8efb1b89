# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""When a machine that does not boot is given up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import patience
from .conftest import Workshop
from .machine import IN_PROCESS, MachineOptions
from .patience import Patience
from .process import wait_until


@contextmanager
def program(text: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", text]) as process:
        yield process
        process.kill()


def folder(process: subprocess.Popen[bytes]) -> Path:
    return Path(f"/proc/{process.pid}")


def test_one_that_computes_has_so_many_seconds_of_it() -> None:
    with program("while True: pass") as process:
        waiting = Patience(folder(process), computing=0.3)
        assert not waiting.over()
        wait_until(lambda: "has computed for" in waiting.over(), "the end of patience", 60)


def test_one_that_stands_still_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "STILL_SECONDS", 0.5)
    monkeypatch.setattr(patience, "STILL_COMPUTES", 0.05)
    with program("import time; time.sleep(600)") as process:
        waiting = Patience(folder(process))
        wait_until(lambda: "less than" in waiting.over(), "the end of patience", 60)


def test_one_that_has_ended_is_not_waited_for() -> None:
    with program("") as process:
        waiting = Patience(folder(process))
        wait_until(lambda: waiting.over() == "QEMU has ended", "the end of patience", 60)


def test_who_does_not_boot_leaves_what_is_known_of_it(workshop: Workshop) -> None:
    options = MachineOptions(device=IN_PROCESS, kernel_options="rdinit=/nowhere")
    machine = workshop.machine(options=options)
    wait_until(lambda: "Kernel panic" in machine.serial.text(), "the kernel to give up", 60)
    with pytest.raises(TimeoutError) as error:
        machine.wait_ready(computing=1)
    assert "QEMU is running; QEMU said" in str(error.value)
    assert "Kernel panic" in str(error.value)
