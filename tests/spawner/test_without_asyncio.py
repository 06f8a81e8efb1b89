# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The event loop that loguru would import is not part of any machine's memory."""

import subprocess
import sys

import pytest


def output_of(program: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    return result.stdout


@pytest.mark.parametrize("begins", ["vgpud.daemon", "vgpud.session.process"])
def test_the_logger_is_imported_without_an_event_loop(begins: str) -> None:
    program = (
        f"from vgpud.without_asyncio import import_loguru; import_loguru(); import {begins}, sys;"
        " print(*sys.modules)"
    )
    imported = output_of(program).split()
    assert "loguru" in imported
    assert "asyncio" not in imported


def test_who_imports_asyncio_afterwards_gets_the_real_one() -> None:
    program = (
        "from vgpud.without_asyncio import import_loguru; import_loguru();"
        " import asyncio; print(asyncio.run(asyncio.sleep(0, 'slept')))"
    )
    assert output_of(program) == "slept\n"


def test_the_logger_works_as_with_it() -> None:
    program = (
        "from vgpud.without_asyncio import import_loguru; import_loguru();"
        " from loguru import logger; import sys;"
        " logger.remove(); logger.add(sys.stdout, format='{message}'); logger.info('said {}', 1)"
    )
    assert output_of(program) == "said 1\n"


def test_an_asyncio_that_is_there_already_stays() -> None:
    program = (
        "import asyncio, sys; from vgpud.without_asyncio import import_loguru; import_loguru();"
        " print(sys.modules['asyncio'] is asyncio)"
    )
    assert output_of(program) == "True\n"
