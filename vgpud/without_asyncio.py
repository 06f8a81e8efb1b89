# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""loguru, without the event loop that it imports and that nothing here runs.

``asyncio`` is an eighth of what a daemon imports: 1.5 MiB of the first machine's memory.  loguru uses one function of it, for
sinks that are coroutines, and there are none.
"""

import sys
from types import ModuleType
from typing import NoReturn


def _no_loop() -> NoReturn:
    """``asyncio.get_running_loop``, as it answers where none runs."""
    raise RuntimeError("no running event loop")


def import_loguru() -> None:
    """Whoever imports ``asyncio`` afterwards gets the real one."""
    if "asyncio" in sys.modules or "loguru" in sys.modules:
        return
    stand_in = ModuleType("asyncio")
    stand_in.get_running_loop = _no_loop  # type: ignore[attr-defined]
    sys.modules["asyncio"] = stand_in
    try:
        import loguru  # noqa: F401
    finally:
        del sys.modules["asyncio"]
