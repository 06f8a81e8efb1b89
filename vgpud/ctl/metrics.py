# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The status of daemons in Prometheus' text format, for a textfile collector: no port is opened.

Names and units as Prometheus' "Metric and label naming" has them: base units, ``_total`` for counters.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from vgpud.control.protocol import Fields
from vgpud.ctl.rates import answering
from vgpud.ctl.status import by_capset, printable, used

# What each machine has: a name without "vgpud_", its help, and where the number is.
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
        "Messages with pixels that were sent to displays.",
        lambda machine: machine["presented"]["updates"],
    ),
    "presented_bytes": (
        "Bytes that were sent to displays.",
        lambda machine: machine["presented"]["bytes"],
    ),
    "contexts_lost": (
        "Contexts that were lost with their process.",
        lambda machine: machine["counters"]["contexts_lost"],
    ),
    "vulkan_workers_killed": (
        "Processes that executed a context's Vulkan and were killed because they did not answer.",
        lambda machine: machine["vulkan"]["workers_killed"],
    ),
    "render_servers_ended": (
        "Render servers that have ended while their device process was running.",
        lambda machine: machine["vulkan"]["servers_ended"],
    ),
    "log_lines_left_out": (
        "Log lines of the machine that were left out of the log.",
        lambda machine: machine["log_lines_left_out"],
    ),
    "device_process_restarts": (
        "Device processes after the first.",
        lambda machine: machine["restarts"],
    ),
    "out_of_memory": (
        "Commands that met a limit.",
        lambda machine: machine["counters"]["out_of_memory"],
    ),
}

GAUGES: Values = {
    "uptime_seconds": ("Since the machine connected.", lambda machine: machine["seconds"]),
    "display_connected": (
        "Whether there is a display socket.",
        lambda machine: machine["display"],
    ),
    "viewers": ("Viewers that are connected.", lambda machine: machine["viewers"]),
    "guest_memory_bytes": (
        "Guest memory that is shared with the device.",
        lambda machine: machine["guest_memory_bytes"],
    ),
    "device_given_up": (
        "Whether the device is given up: no device process is started until the guest starts again.",
        lambda machine: machine["given_up"],
    ),
    "scanouts": ("Scanouts that show something.", lambda machine: len(machine["scanouts"])),
    "contexts": ("Rendering contexts that exist.", lambda machine: len(machine["contexts"])),
    "resources": ("Resources that exist.", lambda machine: len(machine["resources"])),
    "vulkan_workers": (
        "Processes that execute a context's Vulkan.",
        lambda machine: len(machine["vulkan"]["workers"]),
    ),
    "vulkan_workers_memory_bytes": (
        "Resident memory of all of those processes that has no file.",
        lambda machine: sum(one["memory_bytes"] for one in machine["vulkan"]["workers"]),
    ),
    "render_server": (
        "Whether there is a render server.",
        lambda machine: machine["vulkan"]["render_server"] is not None,
    ),
    "guest_blobs": (
        "Blobs of the guest's memory that exist.",
        lambda machine: sum(one["kind"] == "blob" for one in machine["resources"]),
    ),
    "host_blobs": (
        "Blobs of the host's memory that exist.",
        lambda machine: sum(one["kind"] == "host blob" for one in machine["resources"]),
    ),
    "resource_bytes": (
        "Host memory of all resources; an estimate for what the renderer's library holds.",
        lambda machine: used(machine["resources"]),
    ),
}

LAST_REASONS: dict[str, tuple[str, Callable[[Fields], str]]] = {
    "device_process_last_reason_info": (
        "Why the last device process that was replaced had ended; absent when none was replaced.",
        lambda machine: machine["last_reason"] or "",
    ),
    "vulkan_last_reason_info": (
        "Why a worker was last killed or a render server last ended; absent when there was no such.",
        lambda machine: machine["vulkan"]["last_reason"] or "",
    ),
}

QUEUE_GAUGES = {
    "queue_entries": ("Entries of the queue.", "size"),
    "queue_in_flight": ("Requests that were taken and not answered.", "in_flight"),
    "queue_fences_in_flight": ("Requests in flight that wait for a fence.", "fences_in_flight"),
}


PROCESS_METRICS = {
    "process_cpu_seconds": (
        CounterMetricFamily,
        "CPU that a process has used since its start; the daemon's own processes have no machine.",
        "cpu_seconds",
    ),
    "process_memory_bytes": (
        GaugeMetricFamily,
        "Resident memory of a process that has no file: neither the guest's memory nor images.",
        "memory_bytes",
    ),
}

LIMIT_GAUGES = {
    "limit_used": ("How much of a limit is used; memory in bytes.", "used"),
    "limit": ("A limit, by its name in the configuration; memory in bytes.", "limit"),
}

Family = CounterMetricFamily | GaugeMetricFamily
Labels = dict[str, str]
OF_A_DAEMON = ("instance",)
OF_A_MACHINE = ("instance", "machine")
"""The labels of all metrics: a daemon's socket, which is unique on a host, and the machine's name,
the same at each start."""


Which = Callable[[Fields], list[Fields]]


def _all(status: Fields) -> list[Fields]:
    machines: list[Fields] = status["machines"]
    return machines


class _Statuses(Collector):
    """The metrics of several daemons: each metric has the numbers of all of them."""

    def __init__(self, statuses: Sequence[Fields]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        yield from self._of_daemons()
        yield _machine_gauge(
            "machine_answers",
            "Whether the machine's session process answers; if not, there are few other numbers.",
            ((labels, machine["answers"]) for labels, machine in self._machines(_all)),
        )
        for name, (text, value) in COUNTERS.items():
            family = CounterMetricFamily(f"vgpud_{name}", text, labels=OF_A_MACHINE)
            yield _filled(family, self._values(value))
        for name, (text, value) in GAUGES.items():
            yield _machine_gauge(name, text, self._values(value))
        yield self._renderers()
        yield from self._last_reasons()
        yield self._contexts()
        yield from self._queues()
        yield from self._processes()
        yield from self._limits()

    def _machines(self, which: Which) -> Iterator[tuple[Labels, Fields]]:
        """With the labels of each."""
        for status in self._statuses:
            for machine in which(status):
                labels = {"instance": status["socket"], "machine": machine["lasting_name"]}
                yield labels, machine

    def _values(self, value: Callable[[Fields], float]) -> Iterator[tuple[Labels, float]]:
        return ((labels, value(machine)) for labels, machine in self._machines(answering))

    def _of_daemons(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "vgpud_info", "The daemon.", labels=("instance", "version", "mode")
        )
        machines = GaugeMetricFamily(
            "vgpud_machines", "Machines that are served.", labels=OF_A_DAEMON
        )
        for status in self._statuses:
            info.add_metric([status["socket"], status["version"], status["mode"]], 1)
            machines.add_metric([status["socket"]], len(status["machines"]))
        yield info
        yield machines

    def _renderers(self) -> Metric:
        return _machine_gauge(
            "renderer_info",
            "What draws.",
            (
                (labels | {"renderer": machine["renderer"] or ""}, 1)
                for labels, machine in self._machines(answering)
            ),
            "renderer",
        )

    def _last_reasons(self) -> Iterator[Metric]:
        for name, (text, reason) in LAST_REASONS.items():
            numbers = (
                (labels | {"reason": printable(reason(machine))}, 1)
                for labels, machine in self._machines(answering)
                if reason(machine)
            )
            yield _machine_gauge(name, text, numbers, "reason")

    def _contexts(self) -> Metric:
        return _machine_gauge(
            "capset_contexts",
            "Rendering contexts that exist, by their capability set.",
            (
                (labels | {"capset": capset}, number)
                for labels, machine in self._machines(answering)
                for capset, number in by_capset(machine["contexts"]).items()
            ),
            "capset",
        )

    def _queues(self) -> Iterator[Metric]:
        for name, (text, field) in QUEUE_GAUGES.items():
            numbers = (
                (labels | {"queue": queue}, numbers[field])
                for labels, machine in self._machines(answering)
                for queue, numbers in machine["queues"].items()
            )
            yield _machine_gauge(name, text, numbers, "queue")

    def _processes(self) -> Iterator[Metric]:
        for name, (kind, text, field) in PROCESS_METRICS.items():
            family = kind(f"vgpud_{name}", text, labels=(*OF_A_MACHINE, "process"))
            yield _filled(
                family,
                (
                    (labels | {"process": process}, use[field])
                    for labels, owner in self._owners(_all)
                    for process, use in owner["processes"].items()
                    if use is not None
                ),
            )

    def _limits(self) -> Iterator[Metric]:
        for name, (text, field) in LIMIT_GAUGES.items():
            numbers = (
                (labels | {"limit": limit}, use[field])
                for labels, owner in self._owners(answering)
                for limit, use in owner["limits"].items()
            )
            yield _machine_gauge(name, text, numbers, "limit")

    def _owners(self, which: Which) -> Iterator[tuple[Labels, Fields]]:
        """Each daemon, which has no machine, and then its machines."""
        yield from (({"instance": one["socket"], "machine": ""}, one) for one in self._statuses)
        yield from self._machines(which)


def _machine_gauge(
    name: str, text: str, numbers: Iterable[tuple[Labels, float]], *labels: str
) -> Metric:
    return _filled(
        GaugeMetricFamily(f"vgpud_{name}", text, labels=(*OF_A_MACHINE, *labels)), numbers
    )


def _filled(family: Family, numbers: Iterable[tuple[Labels, float]]) -> Metric:
    """Labels are given in the order in which the family has them."""
    for labels, number in numbers:
        family.add_metric(list(labels.values()), number)
    return family


def exposition(*statuses: Fields) -> str:
    """The text, ending with a newline."""
    registry = CollectorRegistry()
    registry.register(_Statuses(statuses))
    return generate_latest(registry).decode()
