# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Where viewers connect: a path, or a port of this computer's own."""

import re
from pathlib import Path

from attrs import frozen

from vgpud.config.kinds import Kind, shown

PATH_PREFIX = "unix:"
LOCALHOST = "localhost"
PORT_MAX = 65535


@frozen
class Address:
    """One of ``path`` and ``host`` with ``port``."""

    path: Path | None = None
    host: str = ""
    port: int = 0


@frozen
class LocalAddress(Kind[Address]):
    """``unix:PATH``, or ``HOST:PORT`` where the host is a loopback address, since nobody who
    connects is asked who they are.
    """

    metavar: str = "ADDRESS"

    def read(self, value: object) -> Address:
        if not isinstance(value, str):
            raise ValueError(f"expected unix:PATH or HOST:PORT, not {shown(value)}")
        if value.startswith(PATH_PREFIX):
            return _path(value.removeprefix(PATH_PREFIX))
        found = re.fullmatch(r"(?:\[(?P<six>[^]]+)\]|(?P<host>[^:/]+)):(?P<port>[0-9]{1,5})", value)
        if found is None:
            raise ValueError(f"expected unix:PATH or HOST:PORT, not {shown(value)}")
        port = int(found["port"])
        if not 0 < port <= PORT_MAX:
            raise ValueError(f"expected a port from 1 to {PORT_MAX}, not {port}")
        return Address(host=_loopback(found["six"] or found["host"]), port=port)

    def write(self, value: Address) -> object:
        if value.path is not None:
            return f"{PATH_PREFIX}{value.path}"
        return f"[{value.host}]:{value.port}" if ":" in value.host else f"{value.host}:{value.port}"


def _path(text: str) -> Address:
    if not text or "\0" in text:
        raise ValueError("expected a path after unix:")
    return Address(path=Path(text))


def _loopback(host: str) -> str:
    # Imported only when needed, as in nearest.py: few use a port.
    import ipaddress

    if host == LOCALHOST:
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise ValueError(
            f"expected a loopback address such as 127.0.0.1, not {shown(host)}:"
            " use ssh to see the screen from another computer"
        )
    return str(address)
