# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""QMP, which controls all of QEMU: we send only that keys and buttons were pressed. The VMM is only
half trusted: its answers are bounded, and read only for errors.
"""

import json
import socket
from collections.abc import Sequence
from typing import Any

import trio

RECEIVE_BYTES = 16 * 1024
# The longest answer or event.
LINE_BYTES = 1 << 20
ANSWER_SECONDS = 5.0


class QmpError(Exception):
    """QEMU has refused a command; the text is for the log."""


class Qmp:
    """Owns ``end``, a connection on which QEMU has not sent its greeting yet."""

    def __init__(self, end: socket.socket) -> None:
        self._end = trio.socket.from_stdlib_socket(end)
        self._received = b""
        self._greeted = False
        self._turn = trio.StrictFIFOLock()
        self.alive = True

    def close(self) -> None:
        self.alive = False
        self._end.close()

    async def send_events(self, events: Sequence[dict[str, Any]]) -> None:
        """Sends key presses and moves; returns when QEMU has done them.  ``QmpError``; when
        ``alive`` is false then, for good.
        """
        async with self._turn:
            with trio.move_on_after(ANSWER_SECONDS):
                try:
                    await self._greet()
                    await self._command("input-send-event", {"events": list(events)})
                except (OSError, ValueError, trio.ClosedResourceError) as error:
                    self.close()
                    raise QmpError(str(error)) from error
                return
            self.close()
            raise QmpError(
                f"no answer in {ANSWER_SECONDS:g} s: QMP serves one client at a time, perhaps "
                f"another"
            )

    async def _greet(self) -> None:
        if self._greeted:
            return
        if "QMP" not in await self._line():
            raise ValueError("this is not QMP")
        await self._command("qmp_capabilities", {})
        self._greeted = True

    async def _command(self, name: str, arguments: dict[str, Any]) -> None:
        command = {"execute": name, "arguments": arguments}
        line = json.dumps(command, separators=(",", ":")).encode() + b"\n"
        while line:
            line = line[await self._end.send(line) :]
        while "return" not in (answer := await self._line()):
            # Events may come between a command and its answer.
            if "error" in answer:
                raise QmpError(f"{name}: {_described(answer['error'])}")

    async def _line(self) -> dict[str, Any]:
        while b"\n" not in self._received:
            data = await self._end.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionResetError("QEMU has closed the connection")
            self._received += data
            if len(self._received) > LINE_BYTES:
                raise ValueError("a line is too long")
        line, _, self._received = self._received.partition(b"\n")
        try:
            found = json.loads(line)
        except RecursionError:
            found = None
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
        return found


def _described(error: object) -> str:
    text = error.get("desc") if isinstance(error, dict) else None
    return str(text)[:200] if text else "an error"
