# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a session reports of its machine, in the form that ``vgpuctl`` gets."""

from typing import Any

from vgpud.daemon.machine import Machine
from vgpud.daemon.process_use import uses
from vgpud.daemon.vulkan_use import VulkanUse, vulkan_use
from vgpud.link.messages import NO_DISPLAY
from vgpud.tree.messages import DEVICE, SESSION, Report, ResourceUse, Use


def described(machine: Machine, report: Report | None) -> dict[str, Any]:
    """A machine for JSON; of one that does not answer only what the daemon itself knows."""
    known = {
        "name": machine.name,
        "number": machine.number,
        "lasting_name": machine.lasting_name,
        "seconds": machine.seconds,
        "session_process": machine.process.pid,
        "answers": report is not None,
        "processes": uses(**{SESSION: machine.process.pid, DEVICE: machine.device_pid}),
        "log_lines_left_out": machine.lines_left_out,
    }
    return known if report is None else known | _reported(report, vulkan_use(machine.server_pid))


def _reported(report: Report, vulkan: VulkanUse) -> dict[str, Any]:
    limits = report.limits
    used = Use(vulkan.mapped_bytes, limits.vulkan_memory.limit)
    limits = limits._replace(vulkan_memory=used)
    return {
        "renderer": report.renderer or None,
        "device_process": report.device_process or None,
        "restarts": report.restarts,
        "last_reason": report.last_reason or None,
        "given_up": report.given_up,
        "vulkan": vulkan.as_json()
        | report.vulkan._asdict()
        | {"last_reason": report.vulkan.last_reason or None},
        "driver": report.driver._asdict(),
        "display": report.display,
        "viewers": report.viewers,
        "outputs": [None if one == NO_DISPLAY else one._asdict() for one in report.outputs]
        if report.decides_outputs
        else None,
        "guest_memory_bytes": report.guest_memory_bytes,
        "limits": {name: use._asdict() for name, use in limits._asdict().items()},
        "scanouts": [one._asdict() for one in report.scanouts],
        "contexts": [one._asdict() for one in report.contexts],
        "resources": [_resource(one) for one in report.resources],
        "queues": {
            "control": report.control_queue._asdict(),
            "cursor": report.cursor_queue._asdict(),
        },
        "counters": report.counters._asdict(),
        "presented": report.presented._asdict(),
    }


def _resource(use: ResourceUse) -> dict[str, Any]:
    """``bytes`` is None where the host's memory for it cannot be estimated."""
    fields = use._asdict()
    known = fields.pop("known")
    return fields if known else fields | {"bytes": None}
