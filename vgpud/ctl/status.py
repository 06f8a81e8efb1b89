# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A daemon's status, on one screen: everything about each machine, or a line each if there are too
many.
"""

import textwrap
from collections import Counter
from collections.abc import Iterator

from vgpud.control.protocol import Fields
from vgpud.modes import capset_name

COLUMNS = 80
LABEL = 14
NO_BREAK = "\N{NO-BREAK SPACE}"
LARGEST = 2
"""How many of a machine's resources, and of its contexts, are named."""


def screenful(status: Fields, lines: int | None = None) -> str:
    """The text for a person; machines have ``rates``.  ``lines``: how many fit."""
    head = _wrapped(
        f"vgpud {status['version']}, pid {status['pid']}, up {duration(status['seconds'])}, "
        f"mode {status['mode']}{', headless' if status['headless'] else ''}, "
        f"log level {status['log_level']}"
    )
    machines = status["machines"]
    head += _wrapped(f"{_limits(status['limits'])}{_unsaid(status['log_lines_left_out'])}")
    if not machines:
        return "\n".join([*head, "no machine"])
    whole = [*head, *(line for machine in machines for line in ("", *_machine(machine)))]
    if lines is None or len(whole) <= lines:
        return "\n".join(whole)
    return "\n".join([*head, "", *_table(machines, lines - len(head) - 1)])


def _wrapped(text: str, indent: str = "") -> list[str]:
    lines = textwrap.wrap(text, COLUMNS, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace(NO_BREAK, " ") for line in lines]


# --- all of a machine


def _machine(machine: Fields) -> Iterator[str]:
    if not machine["answers"]:
        yield from _wrapped(
            f"machine {machine['name']}: up {duration(machine['seconds'])}, does not answer "
            f"(session process {machine['session_process']})"
        )
        return
    yield (
        f"machine {machine['name']}: up {duration(machine['seconds'])}, "
        f"{'display connected' if machine['display'] else 'no display socket'}"
        f"{_viewers(machine['viewers'])}"
    )
    for label, text in _rows(machine):
        yield from _wrapped(f"  {label:<{LABEL}}{text}", " " * (LABEL + 2))


def _viewers(count: int) -> str:
    return f", {count} viewer{'s' if count > 1 else ''}" if count else ""


def _rows(machine: Fields) -> Iterator[tuple[str, str]]:
    counters, presented, rates = machine["counters"], machine["presented"], machine["rates"]
    yield "renderer", printable(machine["renderer"] or "starting")
    yield (
        "processes",
        f"session {machine['session_process']}, device {machine['device_process'] or 'none'}, "
        f"{restarts(machine)}",
    )
    if text := vulkan(machine):
        yield "vulkan", text
    yield from _outputs(machine["outputs"])
    for scanout in machine["scanouts"]:
        yield f"scanout {scanout['scanout_id']}", _shown(scanout)
    yield (
        "commands",
        f"{counters['commands']}, {count(counters['errors'], 'error')}, "
        f"{count(counters['fences'], 'fence')}; {count(counters['kicks'], 'kick')}, "
        f"{count(counters['calls'], 'interrupt')}",
    )
    queues = (f"{name} {_queue(queue)}" for name, queue in machine["queues"].items())
    yield "queues", "; ".join(queues)
    yield (
        "drawn",
        f"{count(counters['flushes'], 'frame')}, {size(counters['transfer_bytes'])}; "
        f"{size(presented['bytes'])} in {count(presented['updates'], 'update')} shown",
    )
    yield (
        "each second",
        f"{rates['frames']:.1f} frames, {rates['commands']:.0f} commands, "
        f"{size(rates['transfer_bytes'])} drawn, {size(rates['presented_bytes'])} shown",
    )
    limits = {name: use for name, use in machine["limits"].items() if name != "vulkan_memory"}
    yield "limits", _limits(limits) + _unsaid(machine["log_lines_left_out"])
    yield "contexts", _contexts(machine["contexts"])
    yield "resources", _resources(machine["resources"])


BYTES = ("guest_memory", "image_memory", "blob_memory", "hostmem")
"""Limits that are counted in bytes."""
LIMITS = {
    "connections_of_user": "of a user",
    "silent_connections": "silent connections",
    "guest_memory": "guest memory",
    "image_memory": "image memory",
    "backing_entries": "backing entries",
    "blob_memory": "blob memory",
    "memory_slots": "memory slots",
}
"""What limits are called whose names are not words."""


def _limits(limits: Fields) -> str:
    """How much of each is used; without those that do not exist."""
    parts = (
        f"{LIMITS.get(name, name)} {_used(name, use['used'])}/{_used(name, use['limit'])}"
        for name, use in limits.items()
        if use["limit"]
    )
    return ", ".join(part.replace(" ", NO_BREAK) for part in parts)


def _used(name: str, number: int) -> str:
    return size(number) if name in BYTES else str(number)


def _unsaid(lines: int) -> str:
    if not lines:
        return ""
    return ", " + f"{count(lines, 'line')} of the log left out".replace(" ", NO_BREAK)


def restarts(machine: Fields) -> str:
    """How many restarts there were, and the reason of the last one."""
    text = count(machine["restarts"], "restart")
    if machine["last_reason"]:
        text += f": {printable(machine['last_reason'])}"
    return text + ("; given up until the guest starts again" if machine["given_up"] else "")


def vulkan(machine: Fields) -> str:
    """The processes that execute Vulkan, and those that have ended; empty for a machine without
    Vulkan.
    """
    use, memory = machine["vulkan"], machine["limits"]["vulkan_memory"]
    server, workers = use["render_server"], use["workers"]
    lost = _vulkan_losses(use)
    if server is None:
        return f"no render server{lost}" if lost else ""
    running = f"render server {server['pid']}, {count(len(workers), 'worker')}"
    # Of the process with the most.
    running += f" ({size(memory['used'])}/{size(memory['limit'])})" if workers else ""
    return running + lost


def _vulkan_losses(vulkan: Fields) -> str:
    parts = [
        count(vulkan["workers_killed"], "worker") + " killed" if vulkan["workers_killed"] else "",
        count(vulkan["servers_ended"], "server") + " ended" if vulkan["servers_ended"] else "",
    ]
    lost = "".join(f", {part}" for part in parts if part)
    return f"{lost}: {printable(vulkan['last_reason'])}" if vulkan["last_reason"] else lost


def _outputs(outputs: list[Fields | None] | None) -> Iterator[tuple[str, str]]:
    if outputs is not None:
        sizes = (f"{one['width']}x{one['height']}" if one else "off" for one in outputs)
        yield "outputs", ", ".join(f"{number} {text}" for number, text in enumerate(sizes))


def _shown(scanout: Fields) -> str:
    return (
        f"{scanout['width']}x{scanout['height']}+{scanout['x']}+{scanout['y']}"
        f" of resource {scanout['resource_id']}"
    )


def _queue(queue: Fields) -> str:
    fenced = f", {queue['fences_in_flight']} with a fence" if queue["fences_in_flight"] else ""
    return f"{queue['in_flight']}/{queue['size']} in flight{fenced}"


def _contexts(contexts: list[Fields]) -> str:
    named = [
        f"{one['ctx_id']} {printable(one['debug_name']) or 'unnamed'}"
        f" ({capset_name(one['capset_id'])})"
        for one in contexts[:LARGEST]
    ]
    kinds = by_capset(contexts)
    total = str(len(contexts))
    if len(kinds) > 1:
        # Then there is room for one name less.
        total += f" ({', '.join(f'{number} {kind}' for kind, number in kinds.items())})"
        named = named[:1]
    return _listed(total, named, len(contexts))


def by_capset(contexts: list[Fields]) -> dict[str, int]:
    """How many contexts of each capability set there are."""
    return dict(Counter(capset_name(one["capset_id"]) for one in contexts))


def _resources(resources: list[Fields]) -> str:
    largest = sorted(resources, key=lambda one: one["bytes"] or 0, reverse=True)[:LARGEST]
    named = [f"{one['resource_id']} {_kind(one)} {size(one['bytes'] or 0)}" for one in largest]
    return _listed(f"{len(resources)}, {size(used(resources))}", named, len(resources))


def _kind(resource: Fields) -> str:
    """Its sides in pixels; a blob has none."""
    if resource["kind"] in ("2d", "3d"):
        return f"{resource['width']}x{resource['height']}"
    return str(resource["kind"])


def _listed(total: str, named: list[str], whole: int) -> str:
    rest = ", …" if whole > len(named) else ""
    whole_names = [name.replace(" ", NO_BREAK) for name in named]
    return f"{total}: {', '.join(whole_names)}{rest}" if named else total


def used(resources: list[Fields]) -> int:
    """Bytes of host memory that the resources take, as far as that is known."""
    return sum(one["bytes"] or 0 for one in resources)


# --- a line for each

_COLUMNS = "{:<22} {:>11} {:>11} {:>8} {:>10} {:>8}"
_TITLES = ("machine", "up", "screen", "contexts", "resources", "frames/s")


def _table(machines: list[Fields], room: int) -> list[str]:
    rows = [_COLUMNS.format(*_TITLES), *(_COLUMNS.format(*_cells(one)) for one in machines)]
    if len(rows) <= room:
        return rows
    return [*rows[: max(1, room - 1)], f"and {len(rows) - max(1, room - 1)} more"]


def _cells(machine: Fields) -> tuple[str, ...]:
    if not machine["answers"]:
        return (machine["name"][:22], duration(machine["seconds"]), "no answer", "", "", "")
    screens = machine["scanouts"]
    return (
        machine["name"][:22],
        duration(machine["seconds"]),
        f"{screens[0]['width']}x{screens[0]['height']}" if screens else "none",
        str(len(machine["contexts"])),
        size(used(machine["resources"])),
        f"{machine['rates']['frames']:.1f}",
    )


# --- numbers and names for people


def printable(text: str) -> str:
    """Guests choose names, and must not be able to control anybody's terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def count(number: int, what: str) -> str:
    """A number and its noun, in the plural where needed."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """As a person says it: the two largest units."""
    rest = int(seconds)
    parts: list[str] = []
    for name, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if rest >= length or (name == "s" and not parts):
            parts.append(f"{rest // length} {name}")
            rest %= length
    return " ".join(parts[:2])


def short_size(number: float) -> str:
    """As size, for a column of a table."""
    return size(number).replace("iB", "").replace(" ", "")


def size(number: float) -> str:
    """Bytes with a unit of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
