# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the processes of a machine give up before they read anything of a VMM's or a guest's: files
by Landlock, and by seccomp all system calls that are not in a list.  None of it can be undone.
"""

from collections.abc import Callable
from typing import ParamSpec

Arguments = ParamSpec("Arguments")


class WallError(Exception):
    """This host cannot put up a wall; the text says why."""


def missing(
    confine: Callable[Arguments, None], *arguments: Arguments.args, **named: Arguments.kwargs
) -> list[str]:
    """Why a wall is missing.  We serve without it: not every kernel has everything."""
    try:
        confine(*arguments, **named)
    except WallError as error:
        return [str(error)]
    return []
