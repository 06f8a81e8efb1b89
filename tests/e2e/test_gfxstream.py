# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""`--gpu-mode gfxstream` under real guests: its 2D, by whatever librutabaga_gfx_ffi there is."""

from __future__ import annotations

import pytest

from ..driver import rutabaga
from .conftest import Workshop
from .daemon import Daemon, vgpud_command
from .machine import VHOST_USER, VHOST_USER_VGA, Machine, MachineOptions
from .screens import (
    assert_console_is_readable,
    assert_shows,
    connectors,
    modetest_arguments,
    reference,
    shown,
    write_text,
)
from .test_variants import kill_device_process

pytestmark = pytest.mark.usefixtures("only_vgpud")

not_built = pytest.mark.skipif(rutabaga.folder() is None, reason=rutabaga.NOT_BUILT)


def with_library(command: list[str], folder: object) -> list[str]:
    return ["env", f"LD_LIBRARY_PATH={folder}", *command]


# --- 2D, with the two devices that QEMU has for it


def assert_draws(machine: Machine, reference_machine: Machine, daemon: Daemon) -> None:
    """Before and after the death of its device process."""
    write_text(machine, "by gfxstream's 2D")
    assert_console_is_readable(machine)
    expected = reference(reference_machine, (1024, 768), "smpte")
    with shown(machine, modetest_arguments({connectors(machine)[0]: (1024, 768)}, "smpte")):
        assert_shows(machine, expected)
        kill_device_process(daemon)
        assert_shows(machine, expected)
    write_text(machine, "by gfxstream's 2D, still")
    assert_console_is_readable(machine)


@not_built
@pytest.mark.parametrize("device", [VHOST_USER, VHOST_USER_VGA])
def test_a_guest_draws_in_2d(workshop: Workshop, reference_machine: Machine, device: str) -> None:
    daemon = workshop.daemon(
        ["--gpu-mode", "gfxstream", "--capset", "cross-domain"],
        with_library(vgpud_command(), rutabaga.folder()),
    )
    machine = workshop.ready_machine(daemon, MachineOptions(device=device))
    assert "librutabaga_gfx_ffi" in daemon.process.log.text()
    assert_draws(machine, reference_machine, daemon)
