# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whole pictures compared byte for byte, before anything is timed: a wrong picture is not a result,
however fast.
"""

import os

from tests.driver.backend import Backend, Machine
from tests.driver.commands import Rectangle
from tests.driver.memory import GuestMemory, MiB

from .machine import WrongPictureError
from .peers import Peer

WIDTH, HEIGHT = 1920, 1080


def verify(peer: Peer) -> None:
    """Two 1080p pictures in turn and a small damage."""
    memory = GuestMemory(128 * MiB)
    options = {"event_idx": True, "indirect": True}
    frontend = {"config_size": peer.config_size, "timeout": 10}
    with (
        Backend(peer.arguments) as backend,
        Machine(backend.socket_path, memory=memory, guest=options, frontend=frontend) as machine,
    ):
        guest, display = machine.guest, machine.display
        for _ in range(2):
            resource = guest.create_2d(WIDTH, HEIGHT)
            pixels = bytearray(os.urandom(WIDTH * HEIGHT * 4))
            guest.draw(resource, resource.whole, bytes(pixels))
            guest.show(resource)
            if not display.wait_for_picture(0, pixels):
                raise WrongPictureError(f"{peer.name}: a whole picture is wrong")
        area = Rectangle(200, 300, 64, 64)
        damage = os.urandom(64 * 64 * 4)
        guest.draw(resource, area, damage)
        guest.transfer(resource, area)
        guest.flush(resource, area)
        for row in range(64):
            start = ((300 + row) * WIDTH + 200) * 4
            pixels[start : start + 256] = damage[row * 256 : (row + 1) * 256]
        if not display.wait_for_picture(0, pixels) or display.violations:
            raise WrongPictureError(f"{peer.name}: a damage is wrong {display.violations}")
