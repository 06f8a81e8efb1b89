# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A presenter at work between a device's end and QEMU's end of the display socket."""

from __future__ import annotations

import random
import socket
import threading

from tests.driver.display import DisplayServer
from vgpud.native import lib

from .device_end import DeviceEnd

SCANOUT = (0, 64, 48)


class Presenting:
    """A presenter that runs in a thread, between a device's end and a display."""

    def __init__(self, display: DisplayServer | None = None) -> None:
        self.presenter = lib.presenter_new()
        self.device = DeviceEnd()
        self.display = display or DisplayServer()
        self.replies: list[socket.socket] = []
        self.reasons: list[int] = []
        self.changed = threading.Condition()
        self.set_source(self.device)
        self.set_display(self.display)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        reason = 0
        while reason != lib.PRESENTER_STOPPED:
            reason = lib.presenter_run(self.presenter)
            with self.changed:
                self.reasons.append(reason)
                self.changed.notify_all()

    def set_source(self, device: DeviceEnd) -> None:
        assert lib.presenter_set_source(self.presenter, device.theirs.fileno()) == 0
        device.theirs.close()

    def set_display(self, display: DisplayServer) -> None:
        replies, theirs = socket.socketpair()
        self.replies.append(replies)
        connected = lib.presenter_connect(self.presenter, display.theirs.fileno(), theirs.fileno())
        assert connected == 0
        theirs.close()
        display.theirs.close()

    def wait_for_reason(self, reason: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: reason in self.reasons, 5)

    def stop(self) -> None:
        lib.presenter_stop(self.presenter)
        self.thread.join(5)
        assert not self.thread.is_alive()

    def close(self) -> None:
        self.stop()
        lib.presenter_free(self.presenter)
        self.device.close()
        self.display.close()
        for replies in self.replies:
            replies.close()
        assert self.display.violations == []


def noise(width: int, height: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(width * height * 4)


def post(presenting: Presenting, request: int, payload: bytes = b"") -> int:
    message = request.to_bytes(4, "little") + bytes(4) + len(payload).to_bytes(4, "little")
    result: int = lib.presenter_post(presenting.presenter, message + payload, 12 + len(payload))
    return result
