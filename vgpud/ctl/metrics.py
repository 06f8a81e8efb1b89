# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A daemon's status in Prometheus' text format, for a textfile collector: no port is opened."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from vgpud.control.protocol import Fields

PIXEL_BYTES = 4
COUNTERS = {
    "commands": "Commands of the control queue that were answered.",
    "errors": "Commands that were answered with an error.",
    "fences": "Commands that asked for a fence.",
    "transfers": "Transfers from guest memory to an image.",
    "transfer_bytes": "Bytes of these transfers.",
    "flushes": "Flushes of a resource.",
    "kicks": "Notifications by the guest.",
    "calls": "Interrupts of the guest.",
}


class _Status(Collector):
    def __init__(self, status: Fields) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        machines = self._status["machines"]
        info = GaugeMetricFamily("vgpud_info", "The daemon.", labels=["version", "mode"])
        info.add_metric([self._status["version"], self._status["mode"]], 1)
        yield info
        yield GaugeMetricFamily("vgpud_machines", "Machines that are served.", len(machines))
        yield from (_counter(machines, name, text) for name, text in COUNTERS.items())
        restarts = CounterMetricFamily(
            "vgpud_device_process_restarts", "Device processes after the first.", labels=["machine"]
        )
        for machine in machines:
            restarts.add_metric([machine["name"]], machine["restarts"])
        yield restarts
        yield from _resources(machines)


def _counter(machines: list[Fields], name: str, text: str) -> Metric:
    family = CounterMetricFamily(f"vgpud_{name}", text, labels=["machine"])
    for machine in machines:
        family.add_metric([machine["name"]], machine["counters"][name])
    return family


def _resources(machines: list[Fields]) -> Iterator[Metric]:
    count = GaugeMetricFamily("vgpud_resources", "Resources that exist.", labels=["machine"])
    used = GaugeMetricFamily("vgpud_image_bytes", "Bytes of their pixels.", labels=["machine"])
    for machine in machines:
        count.add_metric([machine["name"]], len(machine["resources"]))
        pixels = sum(one["width"] * one["height"] for one in machine["resources"])
        used.add_metric([machine["name"]], pixels * PIXEL_BYTES)
    yield count
    yield used


def exposition(status: Fields) -> str:
    """The text, ending with a newline."""
    registry = CollectorRegistry()
    registry.register(_Status(status))
    return generate_latest(registry).decode()
