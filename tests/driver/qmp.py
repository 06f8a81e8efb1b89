# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""QEMU's side of QMP, as far as tests need one: it notes what it is told."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, "capabilities": []}}


class QmpServer:
    """Listens at ``path`` and serves one connection after another; ``refuse`` is answered with that error."""

    def __init__(self, path: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self.commands: list[str] = []
        self.connections = 0
        self.refuse: str | None = None
        self._connection: socket.socket | None = None
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    @property
    def connected(self) -> bool:
        """Whether somebody is served."""
        return self._connection is not None

    def hang_up(self) -> None:
        assert self._connection is not None
        self._connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connection = connection
            with suppress(OSError), connection, connection.makefile("rwb") as file:
                self._converse(file)
            self._connection = None

    def _converse(self, file: Any) -> None:
        self._say(file, GREETING)
        for line in file:
            command = json.loads(line)
            self.connections += command["execute"] == "qmp_capabilities"
            self.commands.append(command["execute"])
            # Between a command and its answer there are events.
            self._say(file, {"event": "RTC_CHANGE", "data": {}})
            if self.refuse and command["execute"] == "input-send-event":
                self._say(file, {"error": {"class": "GenericError", "desc": self.refuse}})
                continue
            self.events += command["arguments"].get("events", [])
            self._say(file, {"return": {}})

    def _say(self, file: Any, message: Any) -> None:
        file.write(json.dumps(message).encode() + b"\r\n")
        file.flush()

    @property
    def keys(self) -> list[tuple[str, bool]]:
        """Those that went down and up."""
        return [
            (event["data"]["key"]["data"], event["data"]["down"])
            for event in self.events
            if event["type"] == "key"
        ]

    @property
    def buttons(self) -> list[tuple[str, bool]]:
        return [
            (event["data"]["button"], event["data"]["down"])
            for event in self.events
            if event["type"] == "btn"
        ]

    def place(self) -> tuple[int, int]:
        """Where the pointer was put last."""
        axes = {
            event["data"]["axis"]: event["data"]["value"]
            for event in self.events
            if event["type"] == "abs"
        }
        return axes.get("x", -1), axes.get("y", -1)
