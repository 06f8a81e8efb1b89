# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whether a descriptor is ready, whatever its number: select(2) knows those up to 1023 only."""

import select
from typing import Protocol


class HasFileno(Protocol):
    def fileno(self) -> int: ...


def readable(what: int | HasFileno, timeout: float | None = 0.0) -> bool:
    """Within ``timeout`` seconds, None for as long as it takes; the end of a file can be read as well."""
    return _ready(what, select.POLLIN, timeout)


def writable(what: int | HasFileno, timeout: float | None = 0.0) -> bool:
    return _ready(what, select.POLLOUT, timeout)


def _ready(what: int | HasFileno, event: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(what, event)
    return bool(poll.poll(None if timeout is None else timeout * 1000))
