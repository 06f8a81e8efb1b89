# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Socket activation, sd_listen_fds(3): the socket that a service manager listened at before us."""

import os
from collections.abc import MutableMapping

from vgpud.errors import ConfigurationError

FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def take_socket(environment: MutableMapping[str, str]) -> int | None:
    """The descriptor that was passed, None without any; ``ConfigurationError`` for several.

    The variables are removed, so that no child takes them for its own.
    """
    process_id, count, _ = (environment.pop(name, "") for name in VARIABLES)
    if process_id != str(os.getpid()) or not count.isdecimal() or count == "0":
        return None
    if count != "1":
        raise ConfigurationError(
            f"LISTEN_FDS: {count} sockets were passed, but only one can be served"
        )
    os.set_inheritable(FIRST_DESCRIPTOR, False)
    return FIRST_DESCRIPTOR
