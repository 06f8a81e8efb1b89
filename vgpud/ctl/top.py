# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl top``: what each machine costs the host now, the busiest first."""

from pathlib import Path
from typing import NamedTuple

from vgpud.control.protocol import Fields
from vgpud.ctl.rates import vulkan_processes
from vgpud.ctl.status import printable, restarts, short_size, vulkan

COLUMNS = "{:<20} {:>7} {:>7} {:>8} {:>15} {:>8} {:>9}"
TITLES = ("machine", "session", "device", "memory", "images", "frames/s", "commands")
NAME = 20


class Seen(NamedTuple):
    """A daemon's status, with rates, and its socket."""

    path: Path
    status: Fields


def table(seen: list[Seen], room: int | None = None) -> str:
    """The text, on at most ``room`` lines if given."""
    lines = [_head(one) for one in seen]
    machines = [machine for one in seen for machine in one.status["machines"]]
    lines += ["", COLUMNS.format(*TITLES)]
    for machine in sorted(machines, key=_busy, reverse=True):
        lines += _rows(machine)
    if not machines:
        lines.append("no machine")
    if room is not None and len(lines) > room:
        lines = [*lines[: max(1, room - 1)], "…"]
    return "\n".join(lines)


def _head(seen: Seen) -> str:
    status = seen.status
    use = status["limits"]["machines"]
    return printable(
        f"{seen.path}: pid {status['pid']}, mode {status['mode']}, machines {use['used']}/{use['limit']}"
    )


def _busy(machine: Fields) -> float:
    return float(sum(machine["cpu"].values()))


def _rows(machine: Fields) -> list[str]:
    cpu = (f"{100 * machine['cpu'][kind]:.1f}%" for kind in ("session", "device"))
    memory = _memory([one for one in machine["processes"].values() if one])
    name = printable(machine["name"])[:NAME]
    if not machine["answers"]:
        return [COLUMNS.format(name, *cpu, short_size(memory), "no answer", "", "").rstrip()]
    images, rates = machine["limits"]["image_memory"], machine["rates"]
    row = COLUMNS.format(
        name,
        *cpu,
        short_size(memory),
        f"{short_size(images['used'])}/{short_size(images['limit'])}",
        f"{rates['frames']:.1f}",
        f"{rates['commands']:.0f}",
    )
    return [row, *_restarts(machine), *_vulkan(machine)]


def _memory(processes: list[Fields]) -> int:
    return sum(process["memory_bytes"] for process in processes)


def _restarts(machine: Fields) -> list[str]:
    if not machine["restarts"]:
        return []
    return [f"  {restarts(machine)}"]


def _vulkan(machine: Fields) -> list[str]:
    """What the processes that execute Vulkan take, which the columns do not count."""
    text = vulkan(machine)
    if not text:
        return []
    processes = vulkan_processes(machine)
    if not processes:
        return [f"  Vulkan: {text}"]
    memory = short_size(_memory(processes))
    return [f"  Vulkan: {100 * machine['cpu']['vulkan']:.1f}%, {memory}; {text}"]
