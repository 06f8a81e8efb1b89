# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Who starts vgpud, and what may prevent starting and reaching it: sockets, libvirt's descriptors,
AppArmor, SELinux.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from vgpud.config.runtime import runtime_folder
from vgpud.ctl.daemons import survey
from vgpud.ctl.doctor.finding import Finding, broken, limited, ok
from vgpud.ctl.doctor.host import Host
from vgpud.ctl.status import count, printable


def sockets(host: Host) -> Iterator[Finding]:
    """Where a daemon can listen, and those that do."""
    if runtime_folder(host.environment, host.user) is None:
        yield limited(
            "this user has no runtime folder (XDG_RUNTIME_DIR): tell a daemon where to put its "
            "socket",
            "vgpud --socket-path /tmp/vgpud.sock",
        )
    found = survey()
    for one in found.answered:
        machines = count(len(one.status["machines"]), "machine")
        yield ok(
            printable(f"a daemon answers at {one.path}: mode {one.status['mode']}, {machines}")
        )
    if found.closed:
        yield limited(
            f"{count(found.closed, 'daemon')} may not be asked by {host.user_name}",
            "sudo vgpuctl list",
        )
    if not found.answered and not found.closed:
        yield ok("no daemon runs now")


# --- libvirt

DESCRIPTORS = ("/etc/qemu/vhost-user", "/usr/share/qemu/vhost-user")
"""In the order in which libvirt reads them: of files with the same name the first counts, then all
are sorted by name.
"""


def libvirt(host: Host) -> Iterator[Finding]:
    """Which program libvirt starts for a machine with ``<driver name='vhostuser'/>``."""
    if host.which("libvirtd") is None and host.which("virtqemud") is None:
        yield ok("libvirt is not installed")
        return
    found = list(_descriptors(host))
    if not found:
        yield limited("libvirt finds no vhost-user GPU: there is no descriptor", SETUP)
        return
    path, descriptor = found[0]
    binary = str(descriptor.get("binary", ""))
    if "vgpud" not in Path(binary).name:
        yield limited(f"libvirt starts {binary} instead of vgpud, by {path}", SETUP)
    elif not os.access(host.path(binary), os.X_OK):
        yield broken(f"{path} tells libvirt of {binary}, but there is no such program")
    else:
        yield ok(f"libvirt starts {binary}, by {path}")


def _descriptors(host: Host) -> Iterator[tuple[str, dict[str, Any]]]:
    """The descriptors of GPUs, in libvirt's order.  An empty file hides later ones of its name."""
    files: dict[str, Path] = {}
    for folder in DESCRIPTORS:
        for file in host.names(f"{folder}/*.json"):
            files.setdefault(file.name, file)
    for name in sorted(files):
        with suppress(OSError, ValueError):
            descriptor = json.loads(files[name].read_text())
            if isinstance(descriptor, dict) and descriptor.get("type") == "gpu":
                yield str(files[name]), descriptor


SETUP = "sudo vgpuctl setup  # shows first what it would do"


APPARMOR_FILE = "/etc/apparmor.d/local/abstractions/libvirt-qemu"
APPARMOR_RULE = "/usr/bin/vgpud PUx,"


def apparmor(host: Host) -> Iterator[Finding]:
    """Whether it lets libvirt's machines start vgpud."""
    if not host.text("/sys/module/apparmor/parameters/enabled").startswith("Y"):
        yield ok("AppArmor is off")
    elif not host.path("/etc/apparmor.d/abstractions/libvirt-qemu").exists():
        yield ok("AppArmor is on, and has no profile for libvirt's machines")
    elif any("vgpud" in line.partition("#")[0] for line in host.text(APPARMOR_FILE).splitlines()):
        yield ok(f"AppArmor lets libvirt's machines start vgpud ({APPARMOR_FILE})")
    else:
        yield limited(
            "AppArmor keeps libvirt's machines from starting vgpud",
            f"echo '{APPARMOR_RULE}' | sudo tee -a {APPARMOR_FILE}",
        )


def selinux(host: Host) -> Iterator[Finding]:
    """SELinux was not tried, so say that."""
    if host.text("/sys/fs/selinux/enforce").strip() != "1":
        return
    yield limited(
        "SELinux enforces its policy, and vgpud was not tried with it: if a machine cannot start "
        "vgpud, look for denials",
        "sudo ausearch -m avc -c vgpud",
    )
