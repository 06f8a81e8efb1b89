# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The systemd unit: its state, and whether its sandbox lets a renderer start.

systemd is asked for the settings in force, drop-ins included.  For root the renderer is tried in
the same sandbox, in a transient unit; other users are told what the settings mean.
"""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from vgpud.ctl.doctor.finding import Finding, Verdict, broken, limited, ok
from vgpud.ctl.doctor.host import CAPABILITIES_SECONDS, Host, capabilities_in, drawn_by
from vgpud.errors import EXIT_CONFIGURATION, EXIT_RENDERER_UNAVAILABLE

UNIT = "vgpud.service"
STATE = ("LoadState", "ActiveState", "Result", "ExecMainStatus", "ExecStart")
SANDBOX = (
    "User", "Group", "SupplementaryGroups", "PrivateDevices", "DevicePolicy", "DeviceAllow", "MemoryDenyWriteExecute",
    "SystemCallFilter", "SystemCallArchitectures", "NoNewPrivileges", "CapabilityBoundingSet", "ProtectSystem", "ProtectHome",
    "PrivateTmp", "PrivateMounts", "ProtectProc", "ProcSubset", "PrivateNetwork", "RestrictAddressFamilies",
    "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "ProtectClock", "ProtectControlGroups", "ProtectHostname",
    "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
)  # fmt: skip
EDIT = f"sudo systemctl edit {UNIT}"

Properties = dict[str, list[str]]


def unit(host: Host) -> Iterator[Finding]:
    """Its state, and its sandbox."""
    if not host.path("/run/systemd/system").exists():
        yield ok("systemd does not run here")
        return
    here = _properties(host)
    if not here:
        yield limited("systemctl does not answer", f"systemctl status {UNIT}")
    elif here.get("LoadState") != ["loaded"]:
        yield ok(f"{UNIT} is not installed")
    else:
        yield _state(here)
        hindrances = list(_hindrances(host, here))
        yield from hindrances
        # That it starts says little if it is known to fail later.
        if not any(found.verdict == Verdict.BROKEN for found in hindrances):
            yield _tried(host, here)


def _properties(host: Host) -> Properties:
    """The properties as systemd has them now; a property that is a list may come more than once."""
    output = host.run("systemctl", "show", UNIT, f"--property={','.join(STATE + SANDBOX)}")
    found: Properties = {}
    if output is None or output.status:
        return found
    for line in output.text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found.setdefault(name, []).append(value)
    return found


STATUSES = {
    str(EXIT_RENDERER_UNAVAILABLE): "its renderer could not start",
    str(EXIT_CONFIGURATION): "its configuration is wrong",
}


def _state(here: Properties) -> Finding:
    state = _one(here, "ActiveState")
    if state != "failed":
        return ok(f"{UNIT} is {state}")
    why = STATUSES.get(_one(here, "ExecMainStatus"), _one(here, "Result"))
    return broken(f"{UNIT} has failed: {why}", f"journalctl -u {UNIT} -e")


def _one(here: Properties, name: str) -> str:
    return " ".join(here.get(name, ()))


# --- what its settings mean


def _hindrances(host: Host, here: Properties) -> Iterator[Finding]:
    if _one(here, "MemoryDenyWriteExecute") == "yes":
        yield broken(
            f"{UNIT} has MemoryDenyWriteExecute=yes, which forbids compiling shaders, as graphics "
            f"drivers do while they run",
            f"{EDIT}  # [Service] MemoryDenyWriteExecute=no",
        )
    calls = _one(here, "SystemCallFilter")
    if calls and not calls.startswith("~") and "mincore" not in calls.split():
        yield limited(
            f"{UNIT} does not allow mincore(2), with which Mesa checks addresses",
            f"{EDIT}  # [Service] SystemCallFilter=mincore",
        )
    if host.render_nodes:
        yield from _devices(host, here)


def _devices(host: Host, here: Properties) -> Iterator[Finding]:
    closed = _one(here, "DevicePolicy") in ("closed", "strict")
    allowed = _one(here, "DeviceAllow")
    nodes = "char-drm" in allowed or "/dev/dri" in allowed
    if _one(here, "PrivateDevices") == "yes" or (closed and not nodes):
        yield limited(
            f"{UNIT} does not let the daemon use render nodes: the processor draws OpenGL",
            f"{EDIT}  # [Service] PrivateDevices=no, DeviceAllow=char-drm rw",
        )
    nvidia = any(host.driver_of(node) == "nvidia" for node in host.render_nodes)
    if nvidia and closed and "nvidia" not in allowed:
        yield limited(
            f"{UNIT} does not let the daemon use NVIDIA's own devices",
            f"{EDIT}  # [Service] DeviceAllow=char-nvidia* rw; see vgpud(8), SYSTEMD",
        )
    group = host.group_of(host.render_nodes[0])
    if group not in ("", "root", *_one(here, "SupplementaryGroups").split()):
        yield limited(
            f"{UNIT} does not have the group {group} of {host.render_nodes[0]}",
            f"{EDIT}  # [Service] SupplementaryGroups={group}",
        )


# --- tried


def _tried(host: Host, here: Properties) -> Finding:
    if host.user:
        return Finding(
            Verdict.OK,
            "only root can try whether the unit's sandbox lets a renderer start",
            ("sudo vgpuctl doctor",),
        )
    found, said = _in_sandbox(host, here)
    if found is None:
        return limited(
            f"the renderer could not be tried in the unit's sandbox: {said}",
            f"systemctl cat {UNIT}",
        )
    outside, inside = drawn_by(host.capabilities), drawn_by(found)
    if outside and not inside:
        why = found.get("renderers", {}).get("virglrenderer", {}).get("unavailable", "")
        return broken(
            f"OpenGL starts here, but not in the unit's sandbox: {why}", f"systemctl cat {UNIT}"
        )
    if not inside:
        return ok("there is no OpenGL in the unit's sandbox, and none outside")
    if outside != inside:
        return limited(f"in the unit's sandbox {inside} draws OpenGL, outside {outside}")
    return ok(f"OpenGL starts in the unit's sandbox: {inside}")


def _in_sandbox(host: Host, here: Properties) -> tuple[dict[str, Any] | None, str]:
    """The output of ``--print-capabilities`` there; or None, and why there is none."""
    program = _one(here, "ExecStart").partition("path=")[2].partition(" ;")[0]
    settings = [
        f"--property={name}={value}"
        for name in SANDBOX
        for value in here.get(name, ())
        if value != "[not set]"
    ]
    # Not in /tmp, which may be a mount that systemd makes for the unit.
    with tempfile.TemporaryDirectory(prefix="vgpuctl-doctor-", dir=host.path("/run")) as folder:
        # systemd opens it, before it makes the sandbox.  A pipe of systemd-run's would need D-Bus.
        file = Path(folder) / "capabilities"
        output = host.run(
            "systemd-run", "--quiet", "--collect", "--property=Type=oneshot", f"--property=StandardOutput=file:{file}",
            f"--property=TimeoutStartSec={CAPABILITIES_SECONDS:.0f}", *settings, program, "--print-capabilities",
            seconds=CAPABILITIES_SECONDS,
        )  # fmt: skip
        with suppress(OSError):
            if found := capabilities_in(file.read_text()):
                return found, ""
    return None, (output.text.strip() if output else "") or "systemd-run does not answer"
