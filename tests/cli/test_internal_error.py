# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How an internal error of the program ends it."""

import sys
import types

import pytest

from vgpud.cli.main import run
from vgpud.config.load import Loaded
from vgpud.config.schema import Config
from vgpud.errors import ConfigurationError, RendererError


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Stands in for the daemon; a test gives it a ``serve``."""
    module = types.ModuleType("vgpud.daemon")
    monkeypatch.setitem(sys.modules, "vgpud.daemon", module)
    return module


def failing(error: Exception) -> object:
    def serve(loaded: Loaded, *_: object) -> int:
        raise error

    return serve


def test_the_daemon_gets_the_configuration_and_its_status_is_the_program_s(
    daemon: types.ModuleType,
) -> None:
    served: list[Config] = []

    def serve(loaded: Loaded, *_: object) -> int:
        served.append(loaded.config)
        return 0

    daemon.__dict__["serve"] = serve
    assert run(["--fd", "3", "-g", "null"]) == 0
    assert [(config.socket.fd, config.renderer.mode) for config in served] == [(3, "null")]


@pytest.mark.parametrize(
    ("error", "status"),
    [(ConfigurationError("a", "b"), 78), (RendererError("a\nb"), 69)],
)
def test_an_error_of_a_known_kind_is_its_lines_and_its_status(
    daemon: types.ModuleType, error: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.__dict__["serve"] = failing(error)
    assert run(["--fd", "3"]) == status
    assert capsys.readouterr().err == "vgpud: a\nvgpud: b\n"


def test_any_other_error_is_internal_and_ends_with_one_line_that_names_it(
    daemon: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.__dict__["serve"] = failing(KeyError("x"))
    assert run(["--fd", "3"]) == 70
    assert capsys.readouterr().err.splitlines()[-1] == "vgpud: internal error: KeyError: 'x'"
