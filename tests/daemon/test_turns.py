# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A session is woken for little, and beside others that compute it is let in at once."""

import os

from vgpud.tree.process import SLICE_NANOSECONDS

from ..driver.backend import Backend, Machine
from ..driver.turns import Turns, needs_slices, turns_of, turns_of_process
from .running import COMMAND, devices, sessions


@needs_slices
def test_a_session_takes_short_turns_and_is_as_nice_as_the_daemon_was_told_to_be() -> None:
    usual = turns_of(0).slice
    nicer = Backend(lambda path: ["nice", "-n", "5", *COMMAND, "--socket-path", str(path)])
    with nicer as backend, Machine(backend.socket_path):
        (session,), (device,) = sessions(backend.process.pid), devices(backend.process.pid)
        of_session, of_device = turns_of_process(session), turns_of_process(device)
    assert of_session == {Turns(os.SCHED_OTHER, 5, SLICE_NANOSECONDS)}
    assert of_device == {Turns(os.SCHED_OTHER, 5, usual)}
