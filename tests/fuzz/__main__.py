# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""python -m tests.fuzz [--seconds N] [LIAR...]: lies for that long, and prints what was found;
status 1 when there is something.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import HypothesisWarning
from hypothesis.stateful import run_state_machine_as_test

from tests.driver import hostile_device
from tests.driver.aftermath import House

from . import sanitized
from .control import Control
from .device import Device
from .liar import Ground, Liar
from .session import Session
from .vmm import Vmm

LIARS: dict[str, type[Liar]] = {
    "vmm": Vmm,
    "device": Device,
    "session": Session,
    "control": Control,
}
# They take turns, so that an hour is an hour of each house.
CASES_AT_ONCE = 5
STEPS = 30
# Sanitizers take their time, and a hang has no end.
PATIENCE = 5.0
CONFIGURATION = """
[device_process]
restarts = 1000
restart_window = 1.0
restart_delay = 0.01
"""
SETTINGS = settings(
    max_examples=CASES_AT_ONCE,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    # Real processes never do exactly the same twice: a case is only tried once more, with its steps
    # shown, and not made smaller.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--package", type=Path, help="a folder that has vgpud built with sanitizers"
    )
    parser.add_argument("liars", nargs="*", metavar="LIAR", default=list(LIARS))
    arguments = parser.parse_args()
    # A strategy for any message of a link is long when it is written out.
    warnings.simplefilter("ignore", HypothesisWarning)
    with tempfile.TemporaryDirectory(prefix="vgpud-fuzz-") as folder:
        package = arguments.package or sanitized.build(Path(folder))
        configuration = Path(folder) / "vgpud.toml"
        configuration.write_text(CONFIGURATION)
        liars = [LIARS[name] for name in arguments.liars]
        return 1 if lie(liars, package, configuration, arguments.seconds) else 0


def lie(liars: list[type[Liar]], package: Path, configuration: Path, seconds: float) -> int:
    """How much was found."""
    environment = wicked(sanitized.environment(package))

    def build() -> House:
        return House("--config", str(configuration), environment=environment, patience=PATIENCE)

    found = 0
    end = time.monotonic() + seconds
    with contextlib.ExitStack() as grounds:
        for liar in liars:
            liar.ground = Ground(build)
            grounds.callback(liar.ground.close)
        turns = itertools.cycle(liars)
        while time.monotonic() < end:
            found += _found(next(turns))
        for liar in liars:
            print(f"{liar.__name__}: {liar.ground.cases} cases, {liar.ground.steps} steps")
    print(f"{found} found")
    return found


def wicked(environment: dict[str, str]) -> dict[str, str]:
    """A house whose device processes and sessions send what they are told to."""
    both = hostile_device.LYING_SESSIONS | environment
    paths = (hostile_device.ENVIRONMENT["PYTHONPATH"], environment["PYTHONPATH"])
    return both | {"PYTHONPATH": ":".join(paths)}


def _found(liar: type[Liar]) -> bool:
    try:
        run_state_machine_as_test(liar, settings=SETTINGS)
    except Exception:
        traceback.print_exc()
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
