# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Who sends what comes on a socket that we were started with: the kernel says so of what is sent after we have asked for
it, and whose machine it is can be told by the first message alone.

libvirt starts QEMU a moment after us, so that we ask before anything else is imported; the rest of the start is longer.
"""

import socket
from collections.abc import Sequence


def name_senders(descriptor: str) -> None:
    """What is no socket is for others to complain about."""
    if not descriptor.isdecimal():
        return
    try:
        end = socket.socket(fileno=int(descriptor))
    except OSError:
        return
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    except OSError:
        return
    finally:
        end.detach()


def flag_value(arguments: Sequence[str], flag: str) -> str:
    """What stands behind a flag, after an equals sign or as the next word; empty when it is not there."""
    for number, word in enumerate(arguments):
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
        if word == flag:
            return next(iter(arguments[number + 1 :]), "")
    return ""
