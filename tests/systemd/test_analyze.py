# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What systemd-analyze thinks of the units."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .booted import UNITS

SERVICES = ("vgpud.service", "vgpud@.service")
# In tenths, as --threshold counts.
EXPOSURE = 15

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_exposed_little(service: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", UNITS / service],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert (done.returncode, float(found[1]) <= EXPOSURE / 10) == (0, True)


@pytest.mark.parametrize("unit", ["vgpud.service", "vgpud@one.service", "vgpud@one.socket"])
def test_systemd_finds_no_mistake(unit: str, tmp_path: Path) -> None:
    for source in UNITS.glob("vgpud*"):
        # That the program is not installed is no mistake of the unit.
        text = source.read_text().replace("/usr/bin/vgpud", "/bin/true")
        (tmp_path / source.name).write_text(text)
        (tmp_path / source.name.replace("@.", "@one.")).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / unit],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_both_services_have_the_same_walls() -> None:
    one, other = (
        (UNITS / name).read_text().partition("\n# Nothing of the host")[2] for name in SERVICES
    )
    assert "NoNewPrivileges=yes" in one
    assert one == other
