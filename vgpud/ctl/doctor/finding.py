# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a check says."""

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import NamedTuple

from vgpud.ctl.doctor.host import Host


class Verdict(IntEnum):
    """From good to bad."""

    OK = 0
    LIMITED = 1
    """It works, but less well than it could, or not all of it."""
    BROKEN = 2
    """Something that a user may want does not work at all."""


class Finding(NamedTuple):
    """A sentence or two, and the ``remedy``: lines to run, as an administrator where one begins with sudo."""

    verdict: Verdict
    text: str
    remedy: tuple[str, ...] = ()


Check = Callable[[Host], Iterable[Finding]]


def ok(text: str) -> Finding:
    return Finding(Verdict.OK, text)


def limited(text: str, *remedy: str) -> Finding:
    return Finding(Verdict.LIMITED, text, remedy)


def broken(text: str, *remedy: str) -> Finding:
    return Finding(Verdict.BROKEN, text, remedy)
