#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Writes the lists of the manuals, config/vgpud.toml and contrib/completions/, from the table of options.

A list stands between two comments in its page; the rest of a page is written by hand.  ``--check`` changes nothing and
fails if something would change.
"""

import argparse
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from man.completions import completions  # noqa: E402
from vgpud.cli.arguments import ACTIONS, default_text  # noqa: E402
from vgpud.config.dump import TABLES, example  # noqa: E402
from vgpud.config.kinds import Boolean, Choices  # noqa: E402
from vgpud.config.options import DISPLAY_OPTIONS, OPTIONS, Option  # noqa: E402
from vgpud.ctl.arguments import parser as ctl_parser  # noqa: E402


def escaped(text: str) -> str:
    """Prose for mdoc: each sentence begins a line, and no line looks like a request."""
    sentences = re.sub(r"([.:;]) +(?=[A-Z])", "\\1\n", text.replace("\\", "\\e")).split("\n")
    lines = [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, 78, break_on_hyphens=False, break_long_words=False)
    ]
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def flag_macro(flag: str, metavar: str | None, optional: bool = False) -> str:
    # "Fl" writes the first dash.
    words = f"Fl {flag.removeprefix('-')}"
    if metavar is None:
        return words
    return f"{words} Op Ar {metavar}" if optional else f"{words} Ar {metavar}"


def tagged(entries: Iterable[tuple[str, str]]) -> str:
    lines = [".Bl -tag -width Ds"]
    for head, body in entries:
        lines += [f".It {head}", body]
    return "\n".join([*lines, ".El"])


def option_entries() -> Iterator[tuple[str, str]]:
    for option in OPTIONS:
        if not option.flags:
            continue
        switch = isinstance(option.kind, Boolean)
        heads = [flag_macro(flag, option.kind.metavar, switch) for flag in option.flags]
        yield (
            " , ".join(heads),
            f"{escaped(option.help)}{default(option)}\nKey:\n.Va {option.key} .",
        )
        for flag, value in option.presets.items():
            yield (
                flag_macro(flag, None),
                f"The same as\n.Fl -{(option.flag or '').removeprefix('--')} Ar {value} .",
            )


def action_entries() -> Iterator[tuple[str, str]]:
    for names, metavar, text in ACTIONS:
        yield " , ".join(flag_macro(name, metavar) for name in names), escaped(text)


def environment_entries() -> Iterator[tuple[str, str]]:
    for option in OPTIONS:
        for variable in option.variables:
            yield f"Ev {variable}", f".Va {option.key}"


def key_text() -> str:
    parts = []
    for header, table in TABLES.items():
        options = DISPLAY_OPTIONS if header == "[displays]" else OPTIONS
        mine = [option for option in options if option.section == header.strip("[]")]
        entries = (
            (f"Va {option.name} No = {file_value(option)}", key_body(option)) for option in mine
        )
        parts.append(
            f".Ss [{header}]\\&\n{escaped(inspect.getdoc(table) or '').replace('`', '')}\n{tagged(entries)}"
        )
    return "\n".join(parts)


def file_value(option: Option) -> str:
    if isinstance(option.kind, Choices):
        return f"[ Ar {option.kind.metavar.partition('[')[0]} , ... ]"
    return f"Ar {option.kind.metavar}"


def key_body(option: Option) -> str:
    flags = " ,\n".join(f".Fl {flag.removeprefix('-')}" for flag in option.flags)
    return f"{escaped(option.help)}{default(option)}" + (f"\nFlag:\n{flags} ." if flags else "")


def default(option: Option) -> str:
    text = default_text(option).removeprefix("[default: ").removesuffix("]")
    return f"\nDefault: {text}." if text else ""


def compact(entries: Iterable[tuple[str, str]]) -> str:
    return tagged(entries).replace("-width Ds", "-width Ds -compact", 1)


def ctl_flag_entries() -> Iterator[tuple[str, str]]:
    return _argument_entries(ctl_parser())


def ctl_command_entries() -> Iterator[tuple[str, str]]:
    subparsers = next(
        action for action in ctl_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    for name, subparser in subparsers.choices.items():
        arguments = list(_argument_entries(subparser, "-help"))
        below = f"\n{tagged(arguments)}" if arguments else ""
        yield f"Cm {name}", f"{escaped(subparser.description or '')}{below}"


def _argument_entries(parser: argparse.ArgumentParser, *without: str) -> Iterator[tuple[str, str]]:
    for action in parser._actions:
        flags = [flag for flag in action.option_strings if flag.removeprefix("-") not in without]
        if isinstance(action, argparse._SubParsersAction) or flags in (["-h"], ["-h", "--help"]):
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else None
        heads = [flag_macro(flag, metavar, action.nargs == "?") for flag in flags]
        yield " , ".join(heads) or f"Ar {metavar}", escaped(action.help or "")


LISTS: dict[str, dict[str, Callable[[], str]]] = {
    "man/vgpud.8": {
        "options": lambda: tagged(option_entries()),
        "actions": lambda: tagged(action_entries()),
        "environment": lambda: compact(environment_entries()),
    },
    "man/vgpud.toml.5": {"keys": key_text},
    "man/vgpuctl.1": {
        "ctl flags": lambda: tagged(ctl_flag_entries()),
        "ctl commands": lambda: tagged(ctl_command_entries()),
    },
}


def page(name: str) -> str:
    text = (ROOT / name).read_text()
    for list_name, make in LISTS[name].items():
        first, last = f'.\\" [{list_name}]\n', f'.\\" [end {list_name}]\n'
        before, _, rest = text.partition(first)
        _, found, after = rest.partition(last)
        if not found:
            raise SystemExit(f"{name}: no place for the list {list_name}")
        text = f"{before}{first}{make()}\n{last}{after}"
    return text


def current(name: str) -> str | None:
    return (ROOT / name).read_text() if (ROOT / name).exists() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what would change")
    check = parser.parse_args().check
    texts = {name: page(name) for name in LISTS}
    texts |= {"config/vgpud.toml": example()} | completions()
    stale = [name for name, text in texts.items() if current(name) != text]
    for name in stale:
        sys.stdout.write(f"{name}: {'stale: run man/generate.py' if check else 'written'}\n")
        if not check:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(texts[name])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
