# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Shell completions, from the parsers of the two programs: ``man/generate.py`` writes them, so that no flag is missing.

Generators of others were not taken: they know no lists with commas, no ``--flag=value`` in bash, or not all three shells.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

from vgpud.cli.arguments import parser as daemon_parser
from vgpud.config.kinds import Boolean, Choice, Choices, FilePath
from vgpud.ctl.arguments import parser as control_parser

HEADER = "# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause\n# Written by man/generate.py.\n"
FILES = ("FILE", "PATH")


@frozen
class Argument:
    """A flag, or without `flags` what stands at a place of its own."""

    flags: tuple[str, ...]
    metavar: str  # empty for a flag without a value
    help: str
    words: tuple[str, ...]  # that the value may be
    list: bool  # several of them, with commas between
    files: bool
    optional: bool

    @property
    def separate(self) -> bool:
        """Whether the next word is always its value."""
        return bool(self.flags and self.metavar and not self.optional)


@frozen
class Command:
    """A program, or a command of one."""

    name: str
    help: str
    flags: tuple[Argument, ...]
    places: tuple[Argument, ...]
    commands: tuple["Command", ...]


def command(name: str, parser: argparse.ArgumentParser, help: str = "") -> Command:
    """What `parser` reads."""
    subparsers = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    arguments = [
        _argument(action)
        for action in parser._actions
        if not isinstance(action, argparse._SubParsersAction)
    ]
    return Command(
        name,
        help,
        tuple(argument for argument in arguments if argument.flags),
        tuple(argument for argument in arguments if not argument.flags),
        tuple(
            command(below, subparser, _first_sentence(subparser.description or ""))
            for action in subparsers
            for below, subparser in action.choices.items()
        ),
    )


def _argument(action: argparse.Action) -> Argument:
    option = getattr(action, "option", None)
    # A flag that stands for another one and its value takes none.
    kind = option.kind if option is not None and action.nargs != 0 else None
    metavar = "" if action.nargs == 0 else str(action.metavar or "")
    return Argument(
        tuple(action.option_strings),
        metavar,
        _first_sentence(action.help or ""),
        _words(kind, action, metavar),
        isinstance(kind, Choices),
        isinstance(kind, FilePath) or action.type is Path or metavar.partition(".")[0] in FILES,
        action.nargs == "?",
    )


def _words(kind: object, action: argparse.Action, metavar: str) -> tuple[str, ...]:
    if isinstance(kind, Choice | Choices):
        return kind.values
    if isinstance(kind, Boolean):
        return ("true", "false")
    if action.choices is not None:
        return tuple(action.choices)
    # Of what a metavar offers, small letters stand for themselves.
    return tuple(word for word in metavar.split("|") if "|" in metavar and word.islower())


def _first_sentence(text: str) -> str:
    words = text.replace("%%", "%").partition(" [default: ")[0]
    return re.split(r"[.:;](?: |$)", words, maxsplit=1)[0]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _all_flags(whole: Command) -> Iterator[Argument]:
    yield from whole.flags
    for below in whole.commands:
        yield from below.flags


# bash


BASH_VALUE = r"""
__vgpud_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$word")
}

__vgpud_list() {
    local done=
    [[ $word != *,* ]] || done=${word%,*},
    mapfile -t COMPREPLY < <(compgen -P "$done" -W "$1" -- "${word##*,}")
}

__vgpud_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
}
"""
# A value may be joined to its flag by "=", which is a word of its own to bash.
BASH_BEGIN = """    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} joined=
    local command= place=0 index
    if [[ $word == = ]]; then
        word= joined=1
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]} joined=1
    fi
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${COMP_WORDS[index]} in
            %s) ((index++)) ;;&
            -*) [[ ${COMP_WORDS[index]} != = ]] || ((index++)) ;;
            =) ((index++)) ;;
            *) if [[ -z $command ]]; then command=${COMP_WORDS[index]}; else ((++place)); fi ;;
        esac
    done
"""


def bash(whole: Command) -> str:
    """A completion for bash 4 and newer, which needs no library."""
    valued = "|".join(
        dict.fromkeys(
            flag for argument in _all_flags(whole) if argument.separate for flag in argument.flags
        )
    )
    lines = [f"{HEADER}{BASH_VALUE}\n_{whole.name}() {{\n{BASH_BEGIN % valued}    COMPREPLY=()"]
    lines.append("    case $command in")
    for below in whole.commands:
        lines += [f"        {below.name})", *_bash_case(below), "            ;;"]
    lines += ["        *)", *_bash_case(whole), "            ;;", "    esac", "}\n"]
    return "\n".join([*lines, f"complete -F _{whole.name} {whole.name}\n"])


def _bash_case(one: Command) -> Iterator[str]:
    yield "            case $before in"
    for argument in one.flags:
        if not argument.metavar:
            continue
        # What follows a flag that may go without a value may be another flag.
        guard = "[[ -z $joined && $word == -* ]] || " if argument.optional else ""
        value = (
            "return 0"
            if _bash_value(argument) == ":"
            else f"{{ {_bash_value(argument)}; return; }}"
        )
        yield f"                {'|'.join(argument.flags)}) {guard}{value} ;;"
    yield "            esac"
    yield "            [[ -z $joined ]] || return 0"
    yield "            if [[ $word == -* ]]; then"
    yield f'                __vgpud_words "{" ".join(flag for argument in one.flags for flag in argument.flags)}"'
    yield "                return"
    yield "            fi"
    if one.commands:
        yield f'            __vgpud_words "{" ".join(below.name for below in one.commands)}"'
    for number, place in enumerate(one.places):
        yield f"            [[ $place != {number} ]] || {_bash_value(place)}"


def _bash_value(argument: Argument) -> str:
    if argument.files:
        return "__vgpud_files"
    if not argument.words:
        return ":"
    return f'__vgpud_{"list" if argument.list else "words"} "{" ".join(argument.words)}"'


# zsh


def zsh(whole: Command) -> str:
    """A completion for zsh's new system."""
    lines = [f"#compdef {whole.name}\n{HEADER}"]
    if not whole.commands:
        return "\n".join([*lines, _zsh_arguments(whole), ""])
    described = " ".join(_quoted(f"{below.name}:{below.help}") for below in whole.commands)
    lines += [
        "local context state state_descr line",
        "typeset -A opt_args",
        _zsh_arguments(whole, "'1:COMMAND:->command'", "'*:: :->rest'"),
        "case $state in",
        f"    command) local -a commands=({described}); _describe command commands ;;",
        "    rest) case $words[1] in",
        *(f"        {below.name}) {_zsh_arguments(below)} ;;" for below in whole.commands),
        "    esac ;;",
        "esac",
        "",
    ]
    return "\n".join(lines)


def _zsh_arguments(one: Command, *more: str) -> str:
    specifications = [*map(_zsh_flag, one.flags), *map(_zsh_place, one.places), *more]
    return " \\\n    ".join(["_arguments -C -S", *specifications])


def _zsh_flag(argument: Argument) -> str:
    names = "{" + ",".join(map(_zsh_name(argument), argument.flags)) + "}"
    if len(argument.flags) == 1:
        names = names.strip("{}")
    exclusive = "(- *)" if "--help" in argument.flags or "--version" in argument.flags else ""
    exclusive = exclusive or f"({' '.join(argument.flags)})"
    text = f"[{_zsh_escaped(argument.help)}]{_zsh_value(argument)}"
    return f"{_quoted(exclusive)}{names}{_quoted(text)}"


def _zsh_name(argument: Argument) -> Callable[[str], str]:
    def name(flag: str) -> str:
        if not argument.metavar:
            return flag
        return f"{flag}=" if flag.startswith("--") else f"{flag}+"

    return name


def _zsh_place(argument: Argument) -> str:
    return _quoted(_zsh_value(argument))


def _zsh_value(argument: Argument) -> str:
    if not argument.metavar:
        return ""
    begin = f"{'::' if argument.optional else ':'}{_zsh_escaped(argument.metavar)}:"
    if argument.files:
        return f"{begin}_files"
    if argument.list:
        return (
            f"{begin}_values -s , {argument.metavar.partition('[')[0]} {' '.join(argument.words)}"
        )
    return f"{begin}({' '.join(argument.words)})" if argument.words else f"{begin} "


def _zsh_escaped(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


# fish


def fish(whole: Command) -> str:
    """A completion for fish 3 and newer."""
    lines = [f"{HEADER}\ncomplete -c {whole.name} -f"]
    begin = f"complete -c {whole.name}"
    names = " ".join(below.name for below in whole.commands)
    lines += [_fish_flag(begin, argument) for argument in whole.flags]
    for below in whole.commands:
        first = f'{begin} -n "not __fish_seen_subcommand_from {names}"'
        lines.append(f"{first} -a {below.name} -d {_fish_quoted(below.help)}")
        seen = f"__fish_seen_subcommand_from {below.name}"
        lines += [_fish_flag(f'{begin} -n "{seen}"', argument) for argument in below.flags]
        for place in below.places:
            unseen = seen
            if place.words:
                unseen += f"; and not __fish_seen_subcommand_from {' '.join(place.words)}"
                seen += f"; and __fish_seen_subcommand_from {' '.join(place.words)}"
            lines.append(f'{begin} -n "{unseen}"{_fish_value(place)}')
    return "\n".join([*lines, ""])


def _fish_flag(begin: str, argument: Argument) -> str:
    names = " ".join(
        f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in argument.flags
    )
    value = (" -r" if argument.separate else "") + _fish_value(argument)
    return f"{begin} {names}{value} -d {_fish_quoted(argument.help)}"


def _fish_value(argument: Argument) -> str:
    if argument.files:
        return " -F"
    if argument.list:
        return f" -a '(__fish_append , {' '.join(argument.words)})'"
    return f" -a '{' '.join(argument.words)}'" if argument.words else ""


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


PROGRAMS = {"vgpud": daemon_parser, "vgpuctl": control_parser}
# Where a shell looks for the completion of NAME, below share/ and below contrib/completions/.
SHELLS: dict[str, tuple[str, Callable[[Command], str]]] = {
    "bash": ("{}", bash),
    "zsh": ("_{}", zsh),
    "fish": ("{}.fish", fish),
}


def completions() -> dict[str, str]:
    """File below the top of the tree → its text."""
    return {
        f"contrib/completions/{shell}/{pattern.format(name)}": write(command(name, parser()))
        for shell, (pattern, write) in SHELLS.items()
        for name, parser in PROGRAMS.items()
    }
