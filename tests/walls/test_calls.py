# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Every system call is tried from behind each wall: what can be made is what ``allowed`` says, and nothing else."""

from __future__ import annotations

import ctypes
import json
import platform
import subprocess
import sys
from collections.abc import Sequence

import pytest

from vgpud.walls.seccomp import LISTS, NOTHING_DONE

from .allowed import ALLOWED, FUTEX, PLAIN, POINTER, REFUSED, Attempt

NUMBERS = range(1024)
ANYTHING = (-1,) * 6
FUTEX_WAKE = 1
KINDS = tuple(PLAIN)
# uretprobe and uprobe, which newer kernels let through any filter; a process that makes them itself
# is ended.
BY_ANY_FILTER = {335, 336} if platform.machine() == "x86_64" else set()


class Names:
    """Numbers of system calls, as libseccomp knows them."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2")

    def number(self, name: str) -> int:
        """Negative for one that this architecture, or the library, does not have."""
        return int(self._library.seccomp_syscall_resolve_name(name.encode()))

    def numbers(self, names: Sequence[str] | set[str]) -> dict[int, str]:
        return {number: name for name in names if (number := self.number(name)) >= 0}


@pytest.fixture(scope="module")
def names() -> Names:
    return Names()


def made(kind: str, attempts: Sequence[tuple[int, Sequence[int]]]) -> list[bool]:
    """Whether each is made by a process that has confined itself so."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.walls.calling", kind],
        input="".join(json.dumps(attempt) + "\n" for attempt in attempts),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_lists_are_those_that_are_written_down() -> None:
    assert set(LISTS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_is_not_written_down_does_not_exist(kind: str, names: Names) -> None:
    """The numbers that no call has yet are tried as well."""
    special = dict.fromkeys(names.numbers(FUTEX), (POINTER, FUTEX_WAKE, 0, 0, 0, 0))
    found = made(kind, [(number, special.get(number, ANYTHING)) for number in NUMBERS])
    makes = {number for number, is_made in zip(NUMBERS, found, strict=True) if is_made}
    wanted = names.numbers(PLAIN[kind])
    assert makes - wanted.keys() - BY_ANY_FILTER == set()
    # An older kernel may not have all of them.
    assert {wanted[number] for number in wanted.keys() - makes} <= {"epoll_pwait2", "faccessat2"}


def _numbered(attempts: Sequence[Attempt], names: Names) -> list[tuple[int, Sequence[int]]]:
    numbered = [(names.number(name), arguments) for name, arguments in attempts]
    return [(number, arguments) for number, arguments in numbered if number >= 0]


@pytest.mark.parametrize("kind", KINDS)
def test_some_calls_are_made_with_some_arguments_only(kind: str, names: Names) -> None:
    allowed, refused = _numbered(ALLOWED[kind], names), _numbered(REFUSED[kind], names)
    assert [
        one for one, is_made in zip(allowed, made(kind, allowed), strict=True) if not is_made
    ] == []
    assert [one for one, is_made in zip(refused, made(kind, refused), strict=True) if is_made] == []


@pytest.mark.parametrize("kind", NOTHING_DONE)
def test_what_is_said_to_be_done_is_not(kind: str) -> None:
    """A worker's memory is sealed by whoever takes it."""
    program = (
        "import fcntl, os, sys; from vgpud.walls import seccomp; seccomp.confine(sys.argv[1]);"
        "file = os.memfd_create('', os.MFD_ALLOW_SEALING);"
        "said = fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK);"
        "print(said, fcntl.fcntl(file, fcntl.F_GET_SEALS))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, kind],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stdout.split() == ["0", "0"]
