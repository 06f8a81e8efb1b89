# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A device process whose code is the guest's: confined as each is, and doing what it is told.

A daemon that is started with ``ENVIRONMENT`` has such device processes (``wicked/sitecustomize.py`` says how).  They are honest until
their guest sends them a command that names one of ``ATTACKS``, or one that holds a speech.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from .gpu import Guest
from .queue import Pending
from .wicked import speech
from .wicked.attacks import ATTACKS, HEADER_BYTES, MAGIC

ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parent / "wicked")}
LYING_SESSIONS = {"PYTHON_LYING_SESSIONS": "1"}
"""Beside the other: sessions, too, say what their VMM tells them (``wicked/lying_session.py``)."""


def order(guest: Guest, attack: str, others: Iterable[object] = ()) -> Pending:
    """Has the guest's device process do that, to ``others`` (numbers of processes, paths) where it is about others.

    An answer may come or not.
    """
    if attack not in ATTACKS:
        raise KeyError(attack)
    words = "\0".join([attack, *map(str, others)])
    return guest.submit(MAGIC.ljust(HEADER_BYTES, b"\0") + words.encode())


def speak(guest: Guest, words: Sequence[speech.Word]) -> Pending:
    """Has the guest's device process say that, word by word, and then go on as before."""
    return guest.submit(speech.MAGIC.ljust(speech.HEADER_BYTES, b"\0") + speech.encode(words))


__all__ = ["ATTACKS", "ENVIRONMENT", "order", "speak"]
