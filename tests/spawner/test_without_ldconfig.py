# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""No program is executed for what the daemon and the spawner import."""

import pytest

from .test_without_asyncio import output_of

TOLD = "import sys; sys.addaudithook(lambda event, _: print(event) if event == 'subprocess.Popen' else None);"
IMPORTED = "from vgpud.without_ldconfig import import_trio; import_trio();"


@pytest.mark.parametrize("begins", ["vgpud.daemon.daemon", "vgpud.spawner.spawner"])
def test_nothing_is_executed_for_an_import(begins: str) -> None:
    program = f"{TOLD} {IMPORTED} import {begins}; print('trio' in sys.modules)"
    assert output_of(program) == "True\n"


def test_threads_have_their_names_as_without_it() -> None:
    program = (
        f"{IMPORTED} import trio; from pathlib import Path;"
        " print(trio.run(trio.to_thread.run_sync, Path('/proc/thread-self/comm').read_text), end='')"
    )
    assert output_of(program).startswith("read_text from")


def test_who_looks_for_a_library_afterwards_asks_the_real_function() -> None:
    program = (
        "import ctypes.util; before = ctypes.util.find_library;"
        f" {IMPORTED} print(ctypes.util.find_library is before)"
    )
    assert output_of(program) == "True\n"
