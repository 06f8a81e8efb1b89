# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a daemon, and the processes below it, have of the environment that it was started with."""

import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vgpud.cli.environment import is_kept

from ..daemon.running import COMMAND, tree
from ..driver.backend import Backend, Machine


def test_what_libraries_and_the_service_manager_say_is_kept_and_nothing_else() -> None:
    given = ("API_TOKEN", "NOTIFY_SOCKET", "VGPUD_LOG", "MESA_DEBUG", "USER")
    assert list(filter(is_kept, given)) == ["NOTIFY_SOCKET", "VGPUD_LOG", "MESA_DEBUG"]


def memory_of(process_id: int) -> Iterator[bytes]:
    """Each piece of its memory that can be written."""
    with Path(f"/proc/{process_id}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{process_id}/maps").read_text().splitlines():
            place, rights, *_ = line.split()
            begin, end = (int(number, 16) for number in place.split("-"))
            if rights.startswith("rw") and "memfd" not in line:
                yield from pieces(memory.fileno(), begin, end)


def pieces(memory: int, begin: int, end: int) -> Iterator[bytes]:
    """Without the pages that cannot be read: from glibc 2.42 on a stack's guard is part of its mapping."""
    while begin < end:
        piece = b""
        with suppress(OSError):
            piece = os.pread(memory, end - begin, begin)
        yield piece
        begin += len(piece) or mmap.PAGESIZE


def test_no_process_knows_the_secrets_of_who_started_it() -> None:
    secret = os.urandom(8).hex()
    backend = Backend(
        lambda path: [*COMMAND, "--socket-path", str(path)], environment={"API_TOKEN": secret}
    )
    with backend, Machine(backend.socket_path) as machine:
        machine.guest.display_info()
        processes = [backend.process.pid, *tree(backend.process.pid)]
        assert len(processes) == 4
        for number in processes:
            assert b"API_TOKEN" not in Path(f"/proc/{number}/environ").read_bytes()
            found = list(memory_of(number))
            assert sum(map(len, found)) > 1 << 20
            assert not any(secret.encode() in piece for piece in found)
