# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What ``vgpuctl doctor`` says of the unit, where a systemd is."""

import json
import sys
from pathlib import Path
from typing import Any

import vgpud

from .booted import Systemd


def unit(systemd: Systemd) -> list[dict[str, Any]]:
    package = Path(vgpud.__file__).resolve().parents[1]
    command = (sys.executable, "-P", "-m", "vgpud.ctl", "doctor", "--json")
    done = systemd.run("env", f"PYTHONPATH={package}", *command)
    checks = json.loads(done.stdout)["checks"]
    [virgl] = [one for one in checks if one["check"] == "virglrenderer"]
    return [virgl, *(one for one in checks if one["check"] == "unit")]


def test_the_renderer_is_tried_in_the_unit_s_sandbox(systemd: Systemd) -> None:
    virgl, state, tried = unit(systemd)
    assert state["text"].startswith("vgpud.service is ")
    assert tried["verdict"] == "ok"
    if virgl["text"].startswith("OpenGL for guests by "):
        library = virgl["text"].removeprefix("OpenGL for guests by ").partition(";")[0]
        assert f"OpenGL starts in the unit's sandbox: {library}" in tried["text"]
    else:
        assert "no OpenGL in the unit's sandbox, and none outside" in tried["text"]
    assert "vgpuctl-doctor" not in systemd.ask("list-units", "--all")
    assert not list(systemd.path("/run").glob("vgpuctl-doctor-*"))


def test_what_a_drop_in_breaks_is_named(systemd: Systemd) -> None:
    systemd.add_to("vgpud.service", "[Service]\nMemoryDenyWriteExecute=yes\n")
    try:
        found = unit(systemd)[-1]
    finally:
        systemd.path("/etc/systemd/system/vgpud.service.d/test.conf").unlink()
        systemd.do("daemon-reload")
    assert (found["verdict"], "MemoryDenyWriteExecute=yes" in found["text"]) == ("broken", True)
