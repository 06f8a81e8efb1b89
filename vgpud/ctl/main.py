# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The command line of ``vgpuctl``: one function for each command, in a table."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from vgpud import __version__
from vgpud.config.schema import LEVELS
from vgpud.control.client import Client
from vgpud.control.protocol import ControlError, control_path
from vgpud.ctl.rates import add_rates
from vgpud.ctl.status import screenful
from vgpud.errors import EXIT_OK

EXIT_FAILED = 1
DEFAULT_SOCKET = "/run/vgpud/vgpud.sock"
SAMPLE_SECONDS = 0.5  # that a first look at rates takes
CLEAR_SCREEN = "\x1b[H\x1b[2J"


def run(argv: Sequence[str]) -> int:
    """The program with these arguments; returns its exit status."""
    arguments = parser().parse_args(argv)
    client = None
    try:
        client = Client(control_path(arguments.socket_path))
        COMMANDS[arguments.command].run(client, arguments)
    except (ControlError, OSError) as error:
        sys.stderr.write(f"vgpuctl: {error}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_OK
    finally:
        if client is not None:
            client.close()
    return EXIT_OK


def _status(client: Client, arguments: argparse.Namespace) -> None:
    before, _ = client.ask("status")
    # Without machines there is nothing that goes on.
    time.sleep(SAMPLE_SECONDS if before["machines"] else 0)
    while True:
        now, _ = client.ask("status")
        add_rates(before, now)
        room = shutil.get_terminal_size().lines - 1 if sys.stdout.isatty() else None
        text = json.dumps(now, indent=2) if arguments.json else screenful(now, room)
        clear = CLEAR_SCREEN if arguments.watch and sys.stdout.isatty() else ""
        sys.stdout.write(f"{clear}{text}\n")
        sys.stdout.flush()
        if not arguments.watch:
            return
        before = now
        time.sleep(arguments.watch)


def _screenshot(client: Client, arguments: argparse.Namespace) -> None:
    from vgpud.ctl.screenshot import save

    screen, descriptors = client.ask("screen", scanout=arguments.scanout, machine=arguments.machine)
    try:
        save(screen, descriptors[0], arguments.file)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _metrics(client: Client, arguments: argparse.Namespace) -> None:
    from vgpud.ctl.metrics import exposition

    sys.stdout.write(exposition(client.ask("status")[0]))


def _displays(client: Client, arguments: argparse.Namespace) -> None:
    width, height = arguments.size or (None, None)
    client.ask(
        "set-display",
        scanout=arguments.scanout,
        machine=arguments.machine,
        width=width,
        height=height,
    )


def _log_level(client: Client, arguments: argparse.Namespace) -> None:
    client.ask("log-level", level=arguments.level)


class _Command(NamedTuple):
    run: Callable[[Client, argparse.Namespace], None]
    help: str


COMMANDS = {
    "status": _Command(_status, "Show the daemon and the machines that it serves."),
    "screenshot": _Command(_screenshot, "Save what a scanout shows, as a PNG."),
    "displays": _Command(
        _displays, "Plug a display into a machine that has no display socket, or unplug it."
    ),
    "metrics": _Command(_metrics, "Print the same numbers in Prometheus' text format."),
    "log-level": _Command(_log_level, "Change the least important messages to log."),
}


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    whole = argparse.ArgumentParser(
        prog="vgpuctl", description="Looks at a running vgpud and its machines.", allow_abbrev=False
    )
    whole.add_argument(
        "-s",
        "--socket-path",
        type=Path,
        default=Path(os.environ.get("VGPUD_SOCKET_PATH", DEFAULT_SOCKET)),
        metavar="PATH",
        help="The daemon's socket, the one that virtual machines connect to; "
        f"without the flag, that of VGPUD_SOCKET_PATH, or {DEFAULT_SOCKET}.",
    )
    whole.add_argument(
        "-V",
        "--version",
        action="version",
        version=f"vgpuctl {__version__}",
        help="Print the version and end.",
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {
        name: commands.add_parser(name, help=command.help, description=command.help)
        for name, command in COMMANDS.items()
    }
    parsers["status"].add_argument(
        "--json", action="store_true", help="All that is known, as JSON."
    )
    parsers["status"].add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=1.0,
        metavar="SECONDS",
        help="Again and again; every second when no number is given.",
    )
    parsers["screenshot"].add_argument(
        "file", type=Path, metavar="FILE.png", help="Where the picture goes."
    )
    _add_scanout(parsers["screenshot"])
    _add_displays(parsers["displays"])
    parsers["log-level"].add_argument(
        "level", choices=LEVELS, metavar="LEVEL", help=f"One of {', '.join(LEVELS)}."
    )
    return whole


def _add_scanout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scanout", type=int, default=0, metavar="N", help="Which scanout; 0 without the flag."
    )
    parser.add_argument(
        "--machine",
        metavar="NAME",
        help="Which machine, as status names it or by its number; or else the first.",
    )


def _add_displays(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("set",), metavar="set", help="Change what is plugged in."
    )
    parser.add_argument(
        "size",
        type=_size,
        metavar="WIDTHxHEIGHT|off",
        help="The size in pixels of the display that is plugged in from now on, or off for none.",
    )
    _add_scanout(parser)


def _size(text: str) -> tuple[int, int] | None:
    if text == "off":
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError("WIDTHxHEIGHT in pixels, such as 1920x1080, or off")
    return int(width), int(height)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("0.1 to 3600 seconds")
    return seconds
