# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A session that hangs when its VMM has ended, in something that only the VMM could have
released, or in a device process that does not answer.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

from vgpud.daemon.machine import ALONE_SECONDS
from vgpud.vhost_user.requests import LEAVING_SECONDS

from ..driver.backend import Machine
from ..driver.frontend import Request
from .running import daemon, devices, sessions, wait_until

PROGRAM = """
import sys
from pathlib import Path
from tests.driver.backend import Machine
machine = Machine(Path(sys.argv[1]))
machine.guest.show(machine.guest.create_2d(64, 64))
print("ready", flush=True)
sys.stdin.read()
"""


def test_it_is_ended_and_holds_no_place_among_the_machines() -> None:
    with daemon() as backend:
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(backend.socket_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        ) as vmm:
            assert vmm.stdout is not None
            assert vmm.stdout.readline() == b"ready\n"
            (session,) = sessions(backend.process.pid)
            # As one that waits in a write which nobody will ever make room for.
            os.kill(session, signal.SIGSTOP)
            vmm.kill()
        assert wait_until(lambda: not sessions(backend.process.pid), ALONE_SECONDS + 5)
        assert wait_until(lambda: not devices(backend.process.pid))
        assert "its VMM has ended, and its session does not answer" in backend.log
        with Machine(backend.socket_path) as machine:
            machine.guest.show(machine.guest.create_2d(64, 64))


def test_a_device_that_does_not_answer_keeps_no_session_whose_vmm_has_left() -> None:
    with daemon() as backend:
        with Machine(backend.socket_path) as machine:
            machine.guest.show(machine.guest.create_2d(64, 64))
            (device,) = devices(backend.process.pid)
            os.kill(device, signal.SIGSTOP)
            # The session waits for its device with this, and nobody waits for the answer.
            machine.frontend.send(Request.GET_VRING_BASE, struct.pack("=II", 0, 0))
        # Much sooner than a device would have to answer whose VMM is there.
        assert wait_until(lambda: not sessions(backend.process.pid), LEAVING_SECONDS + 2)
        assert wait_until(lambda: not devices(backend.process.pid))
        assert "does not answer" not in backend.log
        with Machine(backend.socket_path) as machine:
            machine.guest.show(machine.guest.create_2d(64, 64))
