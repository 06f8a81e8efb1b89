# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How fast a machine's counters grow, from two looks at them."""

from vgpud.control.protocol import Fields

# What is shown for each second → the machine's counter.
COUNTED = {
    "frames": ("counters", "flushes"),
    "commands": ("counters", "commands"),
    "transfer_bytes": ("counters", "transfer_bytes"),
    "presented_bytes": ("presented", "bytes"),
}

NONE = dict.fromkeys(COUNTED, 0.0)


def answering(status: Fields) -> list[Fields]:
    """The machines whose sessions answer: the others have few numbers."""
    return [machine for machine in status["machines"] if machine["answers"]]


def vulkan_processes(machine: Fields) -> list[Fields]:
    """A machine's render server and its workers; none of a machine that does not answer."""
    if not machine["answers"]:
        return []
    vulkan = machine["vulkan"]
    return [process for process in (vulkan["render_server"], *vulkan["workers"]) if process]


def add_rates(before: Fields, now: Fields) -> None:
    """Gives each machine of ``now`` that answers its ``rates``, for each second, and every machine
    its ``cpu``, in CPUs; nothing to one that has just connected.
    """
    _add_cpu(before, now)
    earlier = {machine["name"]: machine for machine in answering(before)}
    for machine in answering(now):
        old = earlier.get(machine["name"])
        machine["rates"] = _growth(old, machine) if old else dict(NONE)


def _add_cpu(before: Fields, now: Fields) -> None:
    earlier = {machine["name"]: machine for machine in before["machines"]}
    for machine in now["machines"]:
        old = earlier.get(machine["name"], machine)
        seconds = machine["seconds"] - old["seconds"]
        machine["cpu"] = {
            kind: _cpu(old["processes"][kind], process, seconds)
            for kind, process in machine["processes"].items()
        }
        machine["cpu"]["vulkan"] = _vulkan_cpu(old, machine, seconds)


def _vulkan_cpu(before: Fields, now: Fields, seconds: float) -> float:
    earlier = {process["pid"]: process for process in vulkan_processes(before)}
    return sum(
        _cpu(earlier.get(process["pid"]), process, seconds) for process in vulkan_processes(now)
    )


def _cpu(before: Fields | None, now: Fields | None, seconds: float) -> float:
    if now is None or seconds <= 0:
        return 0.0
    # Another process has started again at zero.
    used = before["cpu_seconds"] if before is not None and before["pid"] == now["pid"] else 0.0
    return float(now["cpu_seconds"] - used) / seconds


def _growth(before: Fields, now: Fields) -> dict[str, float]:
    seconds = now["seconds"] - before["seconds"]
    return {
        name: (now[part][counter] - before[part][counter]) / seconds if seconds > 0 else 0.0
        for name, (part, counter) in COUNTED.items()
    }
