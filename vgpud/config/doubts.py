# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What is probably a mistake: nothing is refused for it, but whoever starts the program is told."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vgpud.config.nearest import nearest
from vgpud.config.options import ENVIRONMENT_PREFIX, OPTIONS
from vgpud.config.search import CONFIG_VARIABLE, INSTANCE_VARIABLE


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """A line for each variable that has our prefix but is unknown."""
    known = [CONFIG_VARIABLE, INSTANCE_VARIABLE]
    known += [variable for option in OPTIONS for variable in option.variables]
    for name in sorted(environment):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            near = nearest(name, known)
            hint = f'; did you mean "{near}"?' if near else ""
            yield f"{_printable(name)}: no such environment variable{hint}"


def missing_instance(instance: str, folders: Sequence[Path]) -> str:
    """The line for an instance that has no file in any of these folders."""
    places = " or ".join(map(str, folders))
    return f"--instance {instance}: there is no {instance}.toml in {places}"


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name)
