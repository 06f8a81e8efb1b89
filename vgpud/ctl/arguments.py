# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The command line of ``vgpuctl``; the manual's lists and the completions are made from it."""

import argparse
import os
from pathlib import Path

from vgpud import __version__
from vgpud.config.schema import LEVELS
from vgpud.ctl.commands import COMMANDS
from vgpud.ctl.daemons import SYSTEM_SOCKET, VARIABLE

OUTPUT = "-"
SUFFIX = ".png"


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    whole = argparse.ArgumentParser(
        prog="vgpuctl", description="Looks at a running vgpud and its machines.", allow_abbrev=False
    )
    whole.add_argument(
        "-s",
        "--socket-path",
        type=Path,
        default=_from_environment(),
        metavar="PATH",
        help="The daemon's socket, to which virtual machines connect; "
        f"without the flag: {VARIABLE}, or this user's, or {SYSTEM_SOCKET}, or that of the only "
        f"daemon.",
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
    for name, add in ARGUMENTS.items():
        add(parsers[name])
    return whole


def _from_environment() -> Path | None:
    path = os.environ.get(VARIABLE)
    return Path(path) if path else None


def _list(parser: argparse.ArgumentParser) -> None:
    _add_json(parser, "As JSON.")


def _status(parser: argparse.ArgumentParser) -> None:
    _add_json(parser, "Print everything as JSON.")
    parser.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=1.0,
        metavar="SECONDS",
        help="Repeat it; every second when no number is given.",
    )
    _add_which(parser)


def _top(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interval",
        type=_seconds,
        default=2.0,
        metavar="SECONDS",
        help="Time between two looks; 2 without the flag.",
    )
    parser.add_argument(
        "--count",
        type=_count,
        metavar="N",
        help="End after this many looks; never without the flag.",
    )
    _add_which(parser)


def _events(parser: argparse.ArgumentParser) -> None:
    _add_json(parser, "A line of JSON for each.")
    _add_which(parser)


def _doctor(parser: argparse.ArgumentParser) -> None:
    _add_json(parser, "As JSON.")
    parser.add_argument(
        "--machine",
        metavar="NAME",
        help="Of the running machines only this one, by its name in status or its number.",
    )
    parser.add_argument(
        "--qemu", metavar="PROGRAM", help="Which QEMU to look at; the one in PATH without the flag."
    )


def _screenshot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=_picture,
        metavar="FILE.png",
        help=f"Where the picture goes; {OUTPUT} is standard output.",
    )
    _add_scanout(parser)


def _displays(parser: argparse.ArgumentParser) -> None:
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


def _metrics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--all", action="store_true", help="Of every daemon that this user may ask."
    )


def _log_level(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "level", choices=LEVELS, metavar="LEVEL", help=f"One of {', '.join(LEVELS)}."
    )


def _setup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--undo", action="store_true", help="Undo what setup has written, and nothing else."
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="Do it without asking; needed where there is no terminal to ask at.",
    )


ARGUMENTS = {
    "list": _list,
    "status": _status,
    "top": _top,
    "events": _events,
    "doctor": _doctor,
    "screenshot": _screenshot,
    "displays": _displays,
    "metrics": _metrics,
    "log-level": _log_level,
    "setup": _setup,
}


# --- what several commands have


def _add_json(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--json", action="store_true", help=help)


def _add_which(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--all", action="store_true", help="Of every daemon that this user may ask."
    )
    parser.add_argument(
        "--machine",
        metavar="NAME",
        help="Only this machine, by its name in status or its number.",
    )


def _add_scanout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scanout", type=int, default=0, metavar="N", help="Which scanout; 0 without the flag."
    )
    parser.add_argument(
        "--machine",
        metavar="NAME",
        help="Which machine, by its name in status or its number; the first without the flag.",
    )


# --- values


def _size(text: str) -> tuple[int, int] | None:
    if text == "off":
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError("give WIDTHxHEIGHT in pixels, such as 1920x1080, or off")
    return int(width), int(height)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"give 0.1 to 3600 seconds, not {text}")
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"give a number from 1 on, not {text}")
    return int(text)


def _picture(text: str) -> Path | None:
    """None for standard output."""
    if text == OUTPUT:
        return None
    path = Path(text)
    if path.suffix.lower() not in ("", SUFFIX):
        raise argparse.ArgumentTypeError(
            f"the picture is a PNG: give {path.with_suffix(SUFFIX)}, or {OUTPUT} for standard "
            f"output"
        )
    return path
