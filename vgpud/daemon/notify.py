# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What we tell the service manager, as in sd_notify(3).

The protocol is one datagram of assignments to the socket that NOTIFY_SOCKET names, and it is
promised not to change.  A library would be no less work: `sdnotify` had its last release in 2017
and may block, the others are bindings that need libsystemd and a compiler.
"""

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Self

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
# Enough for an overview; `vgpuctl status` has them all.
NAMES_SHOWN = 8


class ServiceManager:
    """Tells the service manager, if there is one; never waits, and never fails.

    ``watchdog_seconds``: how often a sign of life is expected, None for never.
    """

    def __init__(self, address: str = "", watchdog_seconds: float | None = None) -> None:
        self.watchdog_seconds = watchdog_seconds if address else None
        self._address = address
        self._served: list[str] = []
        self._renderer = ""

    @classmethod
    def take(cls, environment: MutableMapping[str, str]) -> Self:
        """The service manager that the environment names.  The variables are removed: they are not
        for children.
        """
        address, microseconds, process_id = (environment.pop(name, "") for name in VARIABLES)
        mine = process_id in ("", str(os.getpid()))
        limit = int(microseconds) / 1e6 if mine and microseconds.isdecimal() else 0
        return cls(address, limit or None)

    def __bool__(self) -> bool:
        return bool(self._address)

    def ready(self, renderer: str) -> None:
        """We listen, and ``renderer`` has started in a trial."""
        self._renderer = renderer
        self._tell("READY=1", f"STATUS={self._status()}")

    def reloading(self) -> None:
        """The configuration is read again; ``reloaded`` follows."""
        # systemd.service(5): the time distinguishes this reload from an earlier one.
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def reloaded(self) -> None:
        self._tell("READY=1", f"STATUS={self._status()}")

    def stopping(self) -> None:
        self._tell("STOPPING=1", "STATUS=ending")

    def alive(self) -> None:
        """The sign of life."""
        self._tell("WATCHDOG=1")

    def serving(self, names: list[str]) -> None:
        """These machines are served from now on."""
        if names != self._served:
            self._served = names
            self._tell(f"STATUS={self._status()}")

    def _status(self) -> str:
        count = len(self._served)
        if not count:
            return f"{self._renderer}; no machine"
        names = "; ".join(self._served[:NAMES_SHOWN]) + ("; …" if count > NAMES_SHOWN else "")
        return f"{self._renderer}; {count} machine{'s' if count > 1 else ''}: {names}"

    def _tell(self, *assignments: str) -> None:
        if not self._address:
            return
        # An abstract address has a null character where the variable has "@".
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # A manager that has gone or is slow is no reason to stop serving.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.setblocking(False)
            end.sendto("\n".join(assignments).encode(), address)
