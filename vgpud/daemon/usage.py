# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How much of a host's limits is used, in the form that ``vgpuctl`` gets."""

import resource
from collections import Counter
from pathlib import Path
from typing import Any

from vgpud.config.schema import Limits
from vgpud.daemon.machines import Machines
from vgpud.daemon.newcomers import Newcomers


def used_of_limits(limits: Limits, machines: Machines, newcomers: Newcomers) -> dict[str, Any]:
    """By the names in the configuration, and the daemon's own descriptors.  ``connections_of_user``
    is that of the user with the most machines.
    """
    users = Counter(machine.user for machine in machines if machine.shown)
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "machines": _use(machines.count(), limits.machines),
        "connections_of_user": _use(max(users.values(), default=0), limits.connections_of_user),
        "silent_connections": _use(len(newcomers), limits.silent_connections),
        "descriptors": _use(len(list(Path("/proc/self/fd").iterdir())), descriptors),
    }


def _use(used: int, limit: int) -> dict[str, int]:
    return {"used": used, "limit": limit}
