# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The benchmark's command line."""

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.driver.flood import FLOODS
from tests.driver.gpu import CommandFailedError
from tests.driver.protocol import DisconnectedError
from tests.driver.queue import NoResponseError
from tests.vtest.servers import REFERENCE

from . import blobs, fleet, mapping, opengl, report, rutabaga, still, virgl
from .baseline import baseline
from .machine import BenchMachine, WrongPictureError
from .peers import Peer, peers
from .rows import ROWS, Numbers, Row
from .venus import rows as venus
from .verify import verify

OF_MODE = {"virglrenderer": virgl.ROWS + venus.ROWS, "gfxstream": rutabaga.ROWS}
FAILURES = (NoResponseError, CommandFailedError, DisconnectedError, OSError)
OF_SUBJECT = blobs.ROWS + still.ROWS + mapping.ROWS
ALL_ROWS = ROWS + OF_SUBJECT + virgl.ROWS + venus.ROWS + rutabaga.ROWS


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    names = [row.name for row in ALL_ROWS] + [scene.name for scene in opengl.SCENES]
    parser = argparse.ArgumentParser(prog="contrib/bench/run", description=__doc__)
    parser.add_argument("--rows", metavar="LIST", help=f"comma-separated, of {', '.join(names)}")
    parser.add_argument("--peer", action="append", metavar="NAME", help="vgpud, qemu or rust")
    parser.add_argument("--repetitions", type=int, metavar="N", help="default 5, quick 2")
    parser.add_argument("--quick", action="store_true", help="a third of the time for each row")
    parser.add_argument("--gpu-mode", default="2d", metavar="MODE", help="of vgpud; default 2d")
    parser.add_argument(
        "--capset", metavar="LIST", help="of vgpud; default cross-domain in the mode gfxstream"
    )
    parser.add_argument(
        "--run-pages",
        type=int,
        default=16,
        metavar="N",
        help="contiguous pages of backing; default 16",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="writes every number")
    parser.add_argument(
        "--write",
        metavar="FILE",
        type=Path,
        help=f"puts the table between the lines {report.BEGIN} and {report.END} of a file",
    )
    parser.add_argument(
        "--fleet", type=int, metavar="N", help="instead of rows: that many machines on one daemon"
    )
    parser.add_argument(
        "--connections",
        type=int,
        default=1000,
        metavar="N",
        help="with --fleet: that many more, one after the other; default 1000",
    )
    parser.add_argument(
        "--floods",
        default=",".join(FLOODS),
        metavar="LIST",
        help=f"with --fleet: comma-separated, of {', '.join(FLOODS)}; default all",
    )
    parser.add_argument("--no-baseline", action="store_true", help="without the bare pipeline")
    options = parser.parse_args(arguments)
    options.rows = options.rows.split(",") if options.rows else names
    if unknown := set(options.rows) - set(names):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    options.floods = tuple(filter(None, options.floods.split(",")))
    if unknown := set(options.floods) - set(FLOODS):
        parser.error(f"no such flood: {', '.join(sorted(unknown))}")
    if options.fleet is not None and options.fleet < 2:
        parser.error("a fleet has at least 2 machines")
    return options


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def chosen_peers(options: argparse.Namespace) -> list[Peer]:
    known = {peer.name: peer for peer in peers(options.gpu_mode, options.capset)}
    if options.peer:
        return [known[name] for name in options.peer]
    return [peer for peer in known.values() if can_be_measured(peer)]


def can_be_measured(peer: Peer) -> bool:
    """Whether it is installed and serves a machine; vgpud must."""
    if not peer.installed():
        say(f"{peer.name}: not installed, left out")
        return False
    try:
        BenchMachine(peer).close()
    except FAILURES as error:
        if peer.name == report.SUBJECT:
            raise
        say(f"{peer.name}: does not answer, left out: {error!r}")
        return False
    return True


def without_missing(rows: list[Row], gpu_mode: str) -> list[Row]:
    """Those that can be measured here."""
    wanted = gpu_mode == "virglrenderer" and any(row in venus.ROWS for row in rows)
    if not wanted or not (why := venus.missing()):
        return rows
    say(f"Vulkan: left out: {why}")
    return [row for row in rows if row not in venus.ROWS]


def verified(peer: Peer) -> bool:
    """Whether a peer's pictures are right; vgpud's have to be.

    A peer that cannot draw here (the Rust backend without a GPU) is measured only where nothing is
    drawn.
    """
    try:
        verify(peer)
    except (WrongPictureError, *FAILURES) as error:
        if peer.name == report.SUBJECT:
            raise
        say(f"{peer.name}: no pictures, left out where something is drawn: {error}")
        return False
    say(f"{peer.name}: pictures verified")
    return True


def measured_or_log(row: Row, machine: BenchMachine, scale: float) -> Numbers:
    """What the row measures; when it fails, the end of what the backend said goes to stderr first."""
    try:
        return row.measure(machine, scale)
    except Exception:
        say(
            f"{machine.peer.name}, {row.name} failed; its log ends with:\n{machine.backend.log[-2000:]}"
        )
        raise


def measure(options: argparse.Namespace, measured: dict[Peer, list[Row]]) -> report.Samples:
    """Row by row and peer by peer, all of them again for each repetition: so other load on this
    computer affects all equally.
    """
    samples: report.Samples = {}
    scale = 0.33 if options.quick else 1.0
    for repetition in range(options.repetitions or (2 if options.quick else 5)):
        with ExitStack() as stack:
            machines = {
                peer: stack.enter_context(BenchMachine(peer, options.run_pages))
                for peer in measured
            }
            for row in ALL_ROWS:
                for peer, machine in machines.items():
                    if row not in measured[peer]:
                        continue
                    numbers = measured_or_log(row, machine, scale)
                    shown = " ".join(f"{key}={value:.5g}" for key, value in numbers.items())
                    say(f"{repetition + 1} {row.name:9} {peer.name:6} {shown}")
                    for key, value in numbers.items():
                        samples.setdefault((peer.name, row.name, key), []).append(value)
    return samples


def measure_scenes(options: argparse.Namespace) -> report.Samples:
    """GL programs; nothing in a mode that has no GL, or without these programs."""
    if options.gpu_mode != "virglrenderer":
        return {}
    if missing := opengl.missing():
        say(f"GL programs: left out, not installed: {', '.join(missing)}")
        return {}
    samples: report.Samples = {}
    for scene in opengl.SCENES:
        if scene.name in options.rows:
            samples |= opengl.measure(scene, 0.33 if options.quick else 1.0)
            say(f"{scene.name}: load {os.getloadavg()[0]:.2f}")
    return samples


def measure_fleet(options: argparse.Namespace) -> tuple[report.Samples, list[report.Reported]]:
    """One daemon, once: with that many machines the means are steady."""
    subject = peers(options.gpu_mode)[0]
    numbers = fleet.measure(subject, options.fleet, options.connections, options.floods, say)
    samples = {(subject.name, fleet.FLEET, key): [value] for key, value in numbers.items()}
    return samples, [fleet.FleetRow(options.floods)]


def main() -> None:
    options = parse()
    rows = [row for row in ALL_ROWS if row.name in options.rows]
    machine = f"{os.cpu_count()} cores, Linux {os.uname().release}"
    say(f"{machine}, load {os.getloadavg()[0]:.2f}")
    if options.fleet is not None:
        samples, shown = measure_fleet(options)
        publish(options, machine, samples, [report.SUBJECT], shown)
        return
    rows = without_missing(rows, options.gpu_mode)
    measured = {}
    for peer in chosen_peers(options):
        draws = verified(peer)
        possible = possible_rows(peer, options.gpu_mode)
        measured[peer] = [row for row in rows if row in possible and (draws or not row.draws)]
    names = [peer.name for peer in measured]
    samples = measure(options, measured)
    if scenes := measure_scenes(options):
        samples |= scenes
        names.append(REFERENCE)
    shown = [*rows, *opengl.SCENES]
    text = "" if options.no_baseline else "\n\n" + baseline(0.33 if options.quick else 1.0)
    publish(options, machine, samples, names, shown, text)


def possible_rows(peer: Peer, gpu_mode: str) -> tuple[Row, ...]:
    """The rows that it can be measured in."""
    if peer.name == report.SUBJECT:
        return ROWS + OF_SUBJECT + OF_MODE.get(gpu_mode, ())
    if peer.name == "rust" and gpu_mode == "virglrenderer":
        return ROWS + virgl.SUBMITS
    return ROWS


def publish(
    options: argparse.Namespace,
    machine: str,
    samples: report.Samples,
    names: list[str],
    shown: list[report.Reported],
    more: str = "",
) -> None:
    """Writes the table where the options say."""
    text = report.table(samples, names, shown) + more
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.write_text(report.as_json(samples, names, shown))
    if options.write:
        report.write_into(options.write, f"{machine}:\n\n{text}")


if __name__ == "__main__":
    main()
