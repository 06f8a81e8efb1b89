# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A guest that asks for all of its displays at once is told of the front-end's, and not of the configured ones."""

import struct
from pathlib import Path

import pytest

from ..driver import commands
from ..driver.backend import Machine
from ..driver.display import make_edid
from ..driver.gpu import Guest
from ..driver.queue import Pending
from .running import daemon

SIZES = [(1024 + 16 * scanout_id, 768) for scanout_id in range(16)]


@pytest.mark.parametrize("rounds", [1, 7])
def test_every_question_of_a_batch_is_answered_by_the_display(tmp_path: Path, rounds: int) -> None:
    file = tmp_path / "vgpud.toml"
    file.write_text("[[displays]]\n" * len(SIZES))
    with (
        daemon("--config", str(file)) as backend,
        Machine(backend.socket_path, outputs=SIZES, guest={"control_size": 256}) as machine,
    ):
        machine.display.delay = 0.005
        asked = [ask_all(machine.guest) for _ in range(rounds)]
        machine.guest.control.kick()
        for edids, info in asked:
            for size, edid in zip(SIZES, edids, strict=True):
                assert machine.guest.wait(edid).data[8:136] == make_edid(*size)
            modes = machine.guest.wait(info).data
            for scanout_id, size in enumerate(SIZES):
                assert struct.unpack_from("<4I", modes, 24 * scanout_id) == (0, 0, *size)
        assert machine.display.violations == []


def ask_all(guest: Guest) -> tuple[list[Pending], Pending]:
    """As Linux does, without a kick."""
    edids = [
        guest.control.submit(commands.get_edid(scanout_id), commands.EDID_SIZE, kick=False)
        for scanout_id in range(len(SIZES))
    ]
    info = guest.control.submit(commands.get_display_info(), commands.DISPLAY_INFO_SIZE, kick=False)
    return edids, info
