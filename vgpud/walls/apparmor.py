# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A profile of AppArmor's for each kind of process, on top of the one that the service manager began us with.

Processes are forked and not executed, and with no_new_privs a profile can be added to those that there are, and not be exchanged for
another: so each process *stacks* its own (apparmor.d(5), change_profile; libapparmor's aa_stack_profile(3) is this one write).
contrib/apparmor has the profiles.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from vgpud.walls import WallError

# The second is of kernels before 5.1, or without other modules beside.
ATTRIBUTES = ("/proc/self/attr/apparmor/current", "/proc/self/attr/current")
BASE = "vgpud"
BETWEEN = "//&"


def confine(kind: str) -> None:
    """The process, which has one thread, has from now on that kind's profile as well.

    Nothing happens where we were not begun with our own: a program that lies elsewhere, or is started by hand, is not what the
    profiles know.
    """
    for attribute in map(Path, ATTRIBUTES):
        if BASE in _profiles(attribute):
            _stack(attribute, f"{BASE}//{kind}")
            return


def _profiles(attribute: Path) -> Iterator[str]:
    """Those that this process has; none where there is no AppArmor."""
    try:
        text = attribute.read_text()
    except OSError:
        return
    # As in "vgpud//&vgpud//spawner (enforce)".
    yield from text.strip().partition(" (")[0].split(BETWEEN)


def _stack(attribute: Path, profile: str) -> None:
    try:
        place = os.open(attribute, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(place, f"stack {profile}".encode())
        finally:
            os.close(place)
    except OSError as error:
        raise WallError(f"AppArmor: {profile}: {error.strerror}") from error
