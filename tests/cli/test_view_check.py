# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Viewers are refused at the start where they could not be served, with a message that helps."""

from pathlib import Path

import pytest

from vgpud.cli import view_check
from vgpud.config.address import Address
from vgpud.config.schema import View
from vgpud.errors import EXIT_CONFIGURATION, ConfigurationError

WANTED = View(address=Address(path=Path("/run/view")))
WORKS, IS_NOT_THERE, FAILS = "json", "vgpud._no_such_extension", "asyncio.windows_events"


def check(monkeypatch: pytest.MonkeyPatch, extension: str, options: View = WANTED) -> None:
    monkeypatch.setattr(view_check, "EXTENSION", extension)
    view_check.check_view(options)


def test_what_is_there_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch, WORKS)


def test_what_nobody_wants_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch, IS_NOT_THERE, View())


def test_without_the_extension_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="apt install libvncserver-dev") as refused:
        check(monkeypatch, IS_NOT_THERE)
    assert refused.value.exit_code == EXIT_CONFIGURATION


def test_without_the_library_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"win32 only.*apt install libvncserver1"):
        check(monkeypatch, FAILS)
