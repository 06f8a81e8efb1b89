# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Asks the kernel to say who sends what comes on a socket that we were started with.  It does so
only for what is sent after we have asked, and only the first message tells whose machine it is.

libvirt starts QEMU a moment after us, before we could have imported everything: so we ask before
anything else is imported.
"""

import socket
from collections.abc import Sequence


def name_senders(descriptor: str) -> None:
    """Asks for the senders on that descriptor.  A descriptor that is not a socket is reported
    elsewhere.
    """
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
    """A flag's value, after an equals sign or as the next word; empty when the flag is not
    there.
    """
    for number, word in enumerate(arguments):
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
        if word == flag:
            return next(iter(arguments[number + 1 :]), "")
    return ""
