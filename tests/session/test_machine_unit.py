# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a machine is called, as the unit says it that its VMM runs in."""

import os
from pathlib import Path

import pytest

from vgpud.session.machine_unit import name_by_unit

VMM, OTHER = 4711, 4712


def group(root: Path, path: str, *processes: int) -> Path:
    folder = root / path
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text("".join(f"{number}\n" for number in processes))
    return folder


@pytest.mark.parametrize(
    ("path", "name"),
    [
        # As libvirt has systemd-machined make them, in a partition too, and as others do.
        (r"machine.slice/machine-qemu\x2d3\x2dweb.scope", "web"),
        (r"machine.slice/machine-qemu\x2d12\x2da\x2d1\x2db.scope/libvirt", "a-1-b"),
        (r"machine.slice/machine-production.slice/machine-qemu\x2d3\x2dweb.scope", "web"),
        ("machine.slice/machine-web.scope", "web"),
        (r"machine.slice/machine-qemu\x2dweb.scope", "qemu-web"),
        # Services for one machine each.
        ("system.slice/system-qemu.slice/qemu@web.service", "web"),
        (r"system.slice/system-qemu.slice/qemu@web\x2d1.service", "web-1"),
        ("system.slice/qemu@web-1.service", "web-1"),
        # What many have together, or a user has made.
        ("system.slice/libvirtd.service", ""),
        ("system.slice/docker-0123456789ab.scope", ""),
        ("user.slice/user-1000.slice/user@1000.service/app.slice/machine-web.scope", ""),
        ("user.slice/user-1000.slice/session-3.scope", ""),
        ("machine.slice", ""),
        ("", ""),
    ],
)
def test_a_unit_for_one_machine_names_it(tmp_path: Path, path: str, name: str) -> None:
    group(tmp_path, r"machine.slice/machine-qemu\x2d1\x2dother.scope", OTHER)
    group(tmp_path, "system.slice/qemu@other.service", OTHER)
    folder = tmp_path / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").write_text(f"{OTHER + 1}\n{VMM}\n")
    assert name_by_unit(VMM, tmp_path) == name


def test_one_that_we_are_in_too_is_no_machine_s(tmp_path: Path) -> None:
    group(tmp_path, "system.slice/system-vgpud.slice/vgpud@web.service", VMM, os.getpid())
    assert name_by_unit(VMM, tmp_path) == ""


def test_groups_that_cannot_be_read_name_nobody(tmp_path: Path) -> None:
    assert name_by_unit(VMM, tmp_path / "none") == ""
    folder = group(tmp_path, "machine.slice/machine-web.scope")
    # A group of threads says "Operation not supported".
    (folder / "cgroup.procs").unlink()
    (folder / "cgroup.procs").mkdir()
    group(folder, "libvirt", VMM)
    assert name_by_unit(VMM, tmp_path) == "web"
