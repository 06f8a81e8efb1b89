# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A session and a device process that were taken over, within the hardened unit: what they try to do to others comes to nothing.

``tests/walls`` has the same outside of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.device.process import opengl_unavailable
from tests.driver.backend import Machine
from tests.driver.bystander import SYSTEM_V, Bystander, state_of, state_of_file
from tests.driver.hostile_device import WICKED, order, order_session
from tests.driver.processes import wait_until

from ..daemon.running import show, tree
from .booted import Systemd

INSTANCE = "taken"
UNIT = f"vgpud@{INSTANCE}.service"
RUNTIME = f"/run/vgpud/{INSTANCE}"
INSIDE = "/run/wicked"
TAKEN_OVER = f"[Service]\nEnvironment=PYTHONPATH={INSIDE}\n"
ATTACK = "all that is done to others"
SECONDS = 30.0
CONFIGURATION = """
[renderer]
mode = '{mode}'
[device_process]
restarts = 1000
restart_window = 1.0
"""


def attack_device(machine: Machine, others: list[object]) -> None:
    machine.guest.control.wait(order(machine.guest, ATTACK, others), SECONDS)


def attack_session(machine: Machine, others: list[object]) -> None:
    order_session(machine.frontend, ATTACK, others)


KINDS: dict[str, tuple[str, Callable[[Machine, list[object]], None]]] = {
    "session": ("2d", attack_session),
    "device": ("2d", attack_device),
    "graphics": ("virglrenderer", attack_device),
}
"""Lists of system calls, and whose processes have them: of which renderer, and how they are told."""


def number_inside(process: int) -> int:
    """As the processes of the unit know it."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("NSpid:\t")[2].partition("\n")[0].split()[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_done_to_others(systemd: Systemd, kind: str) -> None:
    mode, attack = KINDS[kind]
    if mode == "virglrenderer" and (reason := opengl_unavailable()):
        pytest.skip(reason)
    shutil.copytree(WICKED, systemd.path(INSIDE), dirs_exist_ok=True)
    systemd.configure(INSTANCE, CONFIGURATION.format(mode=mode))
    systemd.add_to(UNIT, TAKEN_OVER)
    systemd.do("start", UNIT)
    folder, root = systemd.path(RUNTIME), systemd.path("/")
    with ExitStack() as stack:
        stack.callback(systemd.do, "stop", UNIT)
        bystander = stack.enter_context(Bystander(folder, systemd.path("/dev/shm")))
        other = stack.enter_context(Machine(systemd.socket(INSTANCE)))
        show(other)
        daemon = systemd.main_process(UNIT)
        processes = [daemon, *tree(daemon)]
        machine = stack.enter_context(Machine(systemd.socket(INSTANCE)))
        show(machine)
        sockets = [folder / name for name in ("vgpud.sock", "vgpud.sock.control")]
        paths = [*bystander.paths, *sockets]

        def state() -> object:
            lasting = systemd.run("cat", *map(str, SYSTEM_V)).stdout
            return [*map(state_of, processes), *map(state_of_file, paths), lasting]

        before = state()
        said = systemd.log(INSTANCE).count("all is done")
        inside = [f"/{path.relative_to(root)}" for path in paths]
        attack(machine, [*map(number_inside, processes), *inside])
        assert wait_until(lambda: systemd.log(INSTANCE).count("all is done") > said)
        assert state() == before
        assert bystander.heard() == b""
        assert "not confined in full" not in systemd.log(INSTANCE)
        assert systemd.property(UNIT, "NRestarts") == "0"
        show(other)
        with Machine(systemd.socket(INSTANCE)) as newcomer:
            show(newcomer)
