# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The command line: the flags of all options in the table, and the few flags that are no option."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from vgpud import __version__
from vgpud.cli.capabilities import PRINT_CAPABILITIES
from vgpud.config.kinds import Boolean
from vgpud.config.load import Flag
from vgpud.config.nearest import nearest
from vgpud.config.options import OPTIONS, Option
from vgpud.errors import ConfigurationError

DESCRIPTION = "Gives virtual machines a GPU: a vhost-user backend of the VIRTIO GPU device."
EPILOGUE = (
    "Without --socket-path it listens at /run/vgpud/vgpud.sock for root, "
    "$XDG_RUNTIME_DIR/vgpud/vgpud.sock for others, and prints a QEMU command line for it. Exit "
    "status: 0 success, 69 the renderer is not available, 70 internal error, 78 wrong flags or "
    "configuration. See vgpud(8) and vgpud.toml(5)."
)
USAGE = "vgpud [--socket-path PATH] [--gpu-mode MODE] [FLAG ...]"
# Flags that configure nothing: names, the value's name or None, help.  The manual lists them too.
ACTIONS: tuple[tuple[tuple[str, ...], str | None, str], ...] = (
    (("--config",), "FILE", "Read this file instead of the general one on the search path."),
    (
        ("--instance",),
        "NAME",
        "Read NAME.toml too, which overrides the general file. Each line of the log names the "
        "instance, and unless another socket is given, it is in a folder of that name.",
    ),
    (("--check-config",), None, "List every mistake in the configuration and end."),
    (
        ("--print-config",),
        None,
        "Print the configuration as TOML, with the source of each value, and end.",
    ),
    (
        (PRINT_CAPABILITIES,),
        None,
        "Print what this backend can do as JSON, ignoring other flags, and end.",
    ),
    (("-h", "--help"), None, "Print this help and end."),
    (("-V", "--version"), None, "Print the version and end."),
)
SPECIAL: dict[str, dict[str, Any]] = {
    "--help": {"action": "help"},
    "--version": {"action": "version", "version": f"vgpud {__version__}"},
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(message)


class _Record(argparse.Action):
    """Notes the flag and the text given.  Values are checked later, all together, so that all
    mistakes are reported at once.
    """

    def __init__(self, *arguments: Any, option: Option, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.option = option

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        spelling = option_string or self.option_strings[-1]
        # A flag without value comes as its constant None, or with nargs=0 as an empty list.
        text = values if isinstance(values, str) else None
        namespace.flags.append(Flag(self.option, spelling, text))


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    result = _Parser(
        prog="vgpud",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOGUE,
        # A new flag must not change what an abbreviation in somebody's script means.
        allow_abbrev=False,
        add_help=False,
    )
    device = result.add_argument_group("the device")
    for option in OPTIONS:
        if option.flags:
            _add(device, option)
    program = result.add_argument_group("the program")
    for names, metavar, text in ACTIONS:
        keywords = (
            {"metavar": metavar} if metavar else SPECIAL.get(names[-1], {"action": "store_true"})
        )
        program.add_argument(*names, help=text, **keywords)
    result.set_defaults(flags=[])
    return result


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    # argparse formats help with "%".
    text = f"{option.help} {default_text(option)}".strip().replace("%", "%%")
    group.add_argument(
        *option.flags,
        action=_Record,
        option=option,
        nargs="?" if isinstance(option.kind, Boolean) else None,
        metavar=option.kind.metavar,
        help=text,
    )
    for flag, value in option.presets.items():
        group.add_argument(
            flag, action=_Record, option=option, nargs=0, help=f"The same as {option.flag} {value}."
        )


def default_text(option: Option) -> str:
    """The default as help and manuals show it, empty where there is none."""
    if option.default in (None, ()):
        return ""
    written = option.kind.write(option.default)
    return f"[default: {str(written).lower() if isinstance(written, bool) else written}]"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments: ``flags`` has those that set an option, ``mistakes`` a line for each that is unknown.

    Raises ConfigurationError when the rest cannot be understood.
    """
    namespace, unknown = parser().parse_known_args(arguments)
    namespace.mistakes = [f"{word}: unknown argument{_hint(word)}" for word in unknown]
    return namespace


def _hint(word: str) -> str:
    known = [flag for option in OPTIONS for flag in (*option.flags, *option.presets)]
    known += [flag for names, _, _ in ACTIONS for flag in names]
    near = nearest(word.partition("=")[0], known)
    return f'; did you mean "{near}"?' if near else ""
