# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A device process that runs the guest's code, a session that runs the VMM's: confined as usual,
and doing what it is told.

A daemon that is started with ``ENVIRONMENT`` has such processes (``wicked/sitecustomize.py`` says how).  They are honest until
their guest sends a command, or their VMM an order, that names one of ``ATTACKS``; a guest's may hold a speech as well.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from .frontend import Frontend, Request
from .gpu import Guest
from .queue import Pending
from .wicked import speech
from .wicked.attacks import ATTACKS, END, HEADER_BYTES, MAGIC, ORDERS

WICKED = Path(__file__).parent / "wicked"
ENVIRONMENT = {"PYTHONPATH": str(WICKED)}
# Bytes of the configuration space that one message sets.
PART = 200
LYING_SESSIONS = {"PYTHON_LYING_SESSIONS": "1"}
"""Beside the other: sessions, too, say what their VMM tells them (``wicked/lying_session.py``)."""


def order(guest: Guest, attack: str, others: Iterable[object] = ()) -> Pending:
    """Has the guest's device process do that, to ``others`` (numbers of processes, paths) where it is about others.

    An answer may come or not.
    """
    return guest.submit(_request(attack, others))


def order_session(frontend: Frontend, attack: str, others: Iterable[object] = ()) -> None:
    """Has the VMM's session do that; returns when it has, raises when it has ended."""
    request = _request(attack, others) + END
    for place in range(0, len(request), PART):
        part = request[place : place + PART]
        frontend.tell(
            Request.SET_CONFIG, struct.pack("=III", 0, len(part), ORDERS) + part, ack=True
        )


def _request(attack: str, others: Iterable[object]) -> bytes:
    if attack not in ATTACKS:
        raise KeyError(attack)
    words = "\0".join([attack, *map(str, others)])
    return MAGIC.ljust(HEADER_BYTES, b"\0") + words.encode()


def speak(guest: Guest, words: Sequence[speech.Word]) -> Pending:
    """Has the guest's device process say that, word by word, and then go on as before."""
    return guest.submit(speech.MAGIC.ljust(speech.HEADER_BYTES, b"\0") + speech.encode(words))


__all__ = ["ATTACKS", "ENVIRONMENT", "WICKED", "order", "order_session", "speak"]
