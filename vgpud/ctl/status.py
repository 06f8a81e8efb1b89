# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A daemon's status, on one screen."""

from vgpud.control.protocol import Fields

PIXEL_BYTES = 4
# Counters whose growth is shown, and what one of them is called a second.
RATES = {"flushes": "frames/s", "commands": "commands/s", "transfer_bytes": "bytes/s"}

Rates = dict[str, dict[str, float]]  # machine → counter → per second


def rates(before: Fields | None, now: Fields) -> Rates:
    """How fast the counters of each machine grow; since the machine came, without a ``before``."""
    earlier = {machine["name"]: machine for machine in before["machines"]} if before else {}
    return {
        machine["name"]: _growth(earlier.get(machine["name"]), machine)
        for machine in now["machines"]
    }


def _growth(before: Fields | None, now: Fields) -> dict[str, float]:
    seconds = now["seconds"] - (before["seconds"] if before else 0)
    old = before["counters"] if before else dict.fromkeys(RATES, 0)
    return {
        name: (now["counters"][name] - old[name]) / seconds if seconds > 0 else 0.0
        for name in RATES
    }


def screenful(status: Fields, growth: Rates) -> str:
    """The text for a person."""
    lines = [
        f"vgpud {status['version']}, process {status['pid']}, up {duration(status['seconds'])}, "
        f"mode {status['mode']}{', headless' if status['headless'] else ''}, "
        f"log level {status['log_level']}"
    ]
    for machine in status["machines"]:
        lines += ["", *_machine(machine, growth[machine["name"]])]
    if not status["machines"]:
        lines.append("no machine")
    return "\n".join(lines)


def _machine(machine: Fields, growth: dict[str, float]) -> list[str]:
    counters = machine["counters"]
    images = sum(one["width"] * one["height"] * PIXEL_BYTES for one in machine["resources"])
    return [
        f"machine {machine['name']}: up {duration(machine['seconds'])}, "
        f"{machine['renderer'] or 'starting'}, "
        f"{'display connected' if machine['display'] else 'no display'}",
        f"  device process  {machine['device_process'] or 'none'}, {machine['restarts']} restarts",
        f"  guest memory    {size(machine['guest_memory_bytes'])}",
        f"  resources       {len(machine['resources'])}, {size(images)}",
        *(_scanout(scanout) for scanout in machine["scanouts"]),
        f"  queue           {counters['commands']} commands, {counters['errors']} errors, "
        f"{counters['fences']} fences",
        f"  drawn           {counters['flushes']} frames, {size(counters['transfer_bytes'])}",
        f"  rate            {growth['flushes']:.1f} frames/s, {growth['commands']:.0f} commands/s, "
        f"{size(growth['transfer_bytes'])}/s",
    ]


def _scanout(scanout: Fields) -> str:
    return (
        f"  scanout {scanout['scanout_id']:<8}{scanout['width']}x{scanout['height']}"
        f"+{scanout['x']}+{scanout['y']} of resource {scanout['resource_id']}"
    )


def duration(seconds: float) -> str:
    """As a person says it: the two largest units."""
    rest = int(seconds)
    parts: list[str] = []
    for name, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if rest >= length or (name == "s" and not parts):
            parts.append(f"{rest // length} {name}")
            rest %= length
    return " ".join(parts[:2])


def size(count: float) -> str:
    """Bytes with a unit of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
