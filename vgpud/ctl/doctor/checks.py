# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""All checks, in a table.  Each runs in its own thread, so that none waits for another, and the
user does not wait for one that hangs.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from vgpud.control.protocol import Fields, is_meant
from vgpud.ctl.daemons import Found, survey
from vgpud.ctl.doctor import emulator, graphics, kernel, service, unit
from vgpud.ctl.doctor.finding import Check, Finding, broken, limited
from vgpud.ctl.doctor.host import Host
from vgpud.ctl.doctor.machine import examined

SECONDS = 60.0

CHECKS: dict[str, Check] = {
    "kernel": kernel.kernel,
    "kvm": kernel.kvm,
    "page attributes": kernel.page_attributes,
    "walls": kernel.walls,
    "shared memory": kernel.shared_memory,
    "descriptors": kernel.descriptors,
    "render nodes": graphics.render_nodes,
    "groups": graphics.groups,
    "mesa": graphics.mesa,
    "virglrenderer": graphics.virglrenderer,
    "gpu": graphics.gpu,
    "vulkan": graphics.vulkan,
    "gfxstream": graphics.gfxstream,
    "qemu": emulator.qemu,
    "devices": emulator.devices,
    "displays": emulator.displays,
    "sockets": service.sockets,
    "libvirt": service.libvirt,
    "apparmor": service.apparmor,
    "selinux": service.selinux,
    "unit": unit.unit,
}
MACHINE = "machine"


class Result(NamedTuple):
    """A finding, and the name of its check."""

    check: str
    finding: Finding


def examine(
    host: Host,
    machine: str | None = None,
    checks: dict[str, Check] | None = None,
    seconds: float = SECONDS,
) -> list[Result]:
    """The findings of all checks; if ``machine`` is named, of the running machines only that
    one's.
    """
    table = dict(CHECKS if checks is None else checks)
    table[MACHINE] = lambda host: _machines(machine)
    running = [_Running(name, check, host) for name, check in table.items()]
    for one in running:
        one.start()
    deadline = time.monotonic() + seconds
    for one in running:
        one.join(max(0.0, deadline - time.monotonic()))
    return [Result(one.name, finding) for one in running for finding in one.findings(seconds)]


class _Running(threading.Thread):
    def __init__(self, name: str, check: Callable[[Host], Iterable[Finding]], host: Host) -> None:
        super().__init__(name=name, daemon=True)
        self._check = check
        self._host = host
        self._found: list[Finding] | None = None

    def run(self) -> None:
        try:
            found = list(self._check(self._host))
        except Exception as error:
            # A strange host may make one check fail, which must not hide the results of the others.
            found = [limited(f"this check has failed: {type(error).__name__}: {error}")]
        self._found = found

    def findings(self, seconds: float) -> list[Finding]:
        """Those of a check that has ended, or a finding that it has not."""
        if self._found is None:
            return [
                limited(
                    f"this check has not ended within {seconds:g} s: something that it asks for "
                    f"hangs"
                )
            ]
        return self._found


def _machines(wanted: str | None) -> list[Finding]:
    found = survey().answered
    findings = [
        _examined(daemon, machine)
        for daemon in found
        for machine in daemon.status["machines"]
        if wanted is None or is_meant(machine["name"], machine["number"], wanted)
    ]
    if not findings and wanted is not None:
        return [broken(f"there is no machine {wanted}", "vgpuctl list")]
    return findings


def _examined(daemon: Found, machine: Fields) -> Finding:
    try:
        return examined(daemon.path, daemon.status, machine)
    except (KeyError, TypeError):
        version = daemon.status.get("version")
        return limited(
            f"the daemon at {daemon.path} has another version, {version}, whose status vgpuctl "
            f"cannot read"
        )
