# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the processes of a machine give up before they read anything of a VMM's or a guest's: by Landlock files, by seccomp all
system calls but those of a list.  Nothing of it can be undone.
"""

from collections.abc import Callable
from typing import ParamSpec

Arguments = ParamSpec("Arguments")


class WallError(Exception):
    """This computer cannot put up a wall; the text says why."""


def missing(
    confine: Callable[Arguments, None], *arguments: Arguments.args, **named: Arguments.kwargs
) -> list[str]:
    """Why that wall is not there, which is no reason not to serve: not every kernel has everything."""
    try:
        confine(*arguments, **named)
    except WallError as error:
        return [str(error)]
    return []
