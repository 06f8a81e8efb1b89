# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A client of QEMU's machine protocol (QMP), over a socket that QEMU inherited."""

from __future__ import annotations

import array
import json
import socket
import time
from typing import Any


class QmpError(Exception):
    """QEMU refused a command."""


class Qmp:
    def __init__(self, connection: socket.socket, timeout: float = 20) -> None:
        self._socket = connection
        self._socket.settimeout(timeout)
        self._buffer = b""
        self.events: list[dict[str, Any]] = []

    def negotiate(self) -> None:
        """Reads the greeting; needed once, before anything else."""
        greeting = self._read()
        self.version = tuple(
            greeting["QMP"]["version"]["qemu"][part] for part in ("major", "minor")
        )
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        return self._exchange({"execute": command, "arguments": arguments}, [])

    def give_descriptor(self, name: str, descriptor: int) -> None:
        """Leaves an open file with QEMU under a name (`getfd`)."""
        self._exchange({"execute": "getfd", "arguments": {"fdname": name}}, [descriptor])

    def wait_event(self, name: str, timeout: float = 20) -> dict[str, Any]:
        """The next event of that name, also one that came since the last look."""
        deadline = time.monotonic() + timeout
        while True:
            for index, event in enumerate(self.events):
                if event["event"] == name:
                    del self.events[: index + 1]
                    return event
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"no {name} event within {timeout:g} s")
            self._socket.settimeout(remaining)
            try:
                self.events.append(self._read())
            finally:
                self._socket.settimeout(20)

    def _exchange(self, request: dict[str, Any], descriptors: list[int]) -> Any:
        message = json.dumps(request).encode()
        if descriptors:
            rights = array.array("i", descriptors)
            self._socket.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        else:
            self._socket.sendall(message)
        while True:
            answer = self._read()
            if "event" in answer:
                self.events.append(answer)
                continue
            if "error" in answer:
                raise QmpError(f"{request['execute']}: {answer['error']['desc']}")
            return answer["return"]

    def _read(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("QEMU closed its machine protocol")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message
