# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A daemon's status in Prometheus' text format, for a textfile collector: no port is opened.

Names and units as Prometheus' "Metric and label naming" has them: base units, ``_total`` for counters.
"""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from vgpud.control.protocol import Fields
from vgpud.ctl.rates import answering
from vgpud.ctl.status import used

# What is said of each machine: a name without "vgpud_", its help, and where the number is.
Values = dict[str, tuple[str, Callable[[Fields], float]]]

COUNTERS: Values = {
    name: (text, lambda machine, name=name: machine["counters"][name])
    for name, text in {
        "commands": "Commands of the control queue that were taken.",
        "errors": "Commands that were answered with an error.",
        "fences": "Commands that asked for a fence.",
        "transfers": "Transfers between guest memory and resources.",
        "transfer_bytes": "Bytes of transfers to images.",
        "flushes": "Flushes of a resource, a frame each.",
        "kicks": "Notifications by the guest.",
        "calls": "Interrupts of the guest.",
    }.items()
} | {
    "presented_updates": (
        "Messages with pixels that displays were given.",
        lambda machine: machine["presented"]["updates"],
    ),
    "presented_bytes": (
        "Bytes that displays were given.",
        lambda machine: machine["presented"]["bytes"],
    ),
    "log_lines_left_out": (
        "Lines that the machine had to say and that are not in the log.",
        lambda machine: machine["log_lines_left_out"],
    ),
    "device_process_restarts": (
        "Device processes after the first.",
        lambda machine: machine["restarts"],
    ),
}

GAUGES: Values = {
    "uptime_seconds": ("Since the machine connected.", lambda machine: machine["seconds"]),
    "display_connected": (
        "Whether there is a display socket.",
        lambda machine: machine["display"],
    ),
    "guest_memory_bytes": (
        "Guest memory that is shared with the device.",
        lambda machine: machine["guest_memory_bytes"],
    ),
    "scanouts": ("Scanouts that show something.", lambda machine: len(machine["scanouts"])),
    "contexts": ("Rendering contexts that exist.", lambda machine: len(machine["contexts"])),
    "resources": ("Resources that exist.", lambda machine: len(machine["resources"])),
    "host_blobs": (
        "Blobs of the host's memory that exist.",
        lambda machine: sum(one["kind"] == "host blob" for one in machine["resources"]),
    ),
    "resource_bytes": (
        "Host memory of all resources; estimated where the renderer has it.",
        lambda machine: used(machine["resources"]),
    ),
}

QUEUE_GAUGES = {
    "queue_entries": ("Entries of the queue.", "size"),
    "queue_in_flight": ("Requests that were taken and not answered.", "in_flight"),
    "queue_fences_in_flight": ("Those of them that wait for a fence.", "fences_in_flight"),
}


class _Status(Collector):
    def __init__(self, status: Fields) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        machines = answering(self._status)
        info = GaugeMetricFamily("vgpud_info", "The daemon.", labels=["version", "mode"])
        info.add_metric([self._status["version"], self._status["mode"]], 1)
        yield info
        yield GaugeMetricFamily(
            "vgpud_machines", "Machines that are served.", len(self._status["machines"])
        )
        yield _filled(
            GaugeMetricFamily(
                "vgpud_machine_answers",
                "Whether the machine's session process answers; there are no other numbers if not.",
                labels=["machine"],
            ),
            lambda machine: machine["answers"],
            self._status["machines"],
        )
        yield _renderers(machines)
        for name, (text, value) in COUNTERS.items():
            yield _filled(
                CounterMetricFamily(f"vgpud_{name}", text, labels=["machine"]), value, machines
            )
        for name, (text, value) in GAUGES.items():
            yield _filled(
                GaugeMetricFamily(f"vgpud_{name}", text, labels=["machine"]), value, machines
            )
        yield from _queues(machines)
        yield from _limits(self._status, machines)


def _filled(
    family: CounterMetricFamily | GaugeMetricFamily,
    value: Callable[[Fields], float],
    machines: list[Fields],
) -> Metric:
    for machine in machines:
        family.add_metric([machine["name"]], value(machine))
    return family


def _renderers(machines: list[Fields]) -> Metric:
    family = GaugeMetricFamily("vgpud_renderer_info", "What draws.", labels=["machine", "renderer"])
    for machine in machines:
        family.add_metric([machine["name"], machine["renderer"] or ""], 1)
    return family


def _queues(machines: list[Fields]) -> Iterator[Metric]:
    for name, (text, field) in QUEUE_GAUGES.items():
        family = GaugeMetricFamily(f"vgpud_{name}", text, labels=["machine", "queue"])
        for machine in machines:
            for queue, numbers in machine["queues"].items():
                family.add_metric([machine["name"], queue], numbers[field])
        yield family


LIMIT_GAUGES = {
    "limit_used": ("What is used of a limit; of memory in bytes.", "used"),
    "limit": ("A limit, by its name in the configuration; of memory in bytes.", "limit"),
}


def _limits(status: Fields, machines: list[Fields]) -> Iterator[Metric]:
    """Those of the daemon have no machine."""
    for name, (text, field) in LIMIT_GAUGES.items():
        family = GaugeMetricFamily(f"vgpud_{name}", text, labels=["limit", "machine"])
        for owner, limits in [
            ("", status["limits"]),
            *((machine["name"], machine["limits"]) for machine in machines),
        ]:
            for limit, use in limits.items():
                family.add_metric([limit, owner], use[field])
        yield family


def exposition(status: Fields) -> str:
    """The text, ending with a newline."""
    registry = CollectorRegistry()
    registry.register(_Status(status))
    return generate_latest(registry).decode()
