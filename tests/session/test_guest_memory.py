# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Guest memory as the session has it: a change happens whole, or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vgpud.link.messages import MemoryRegion
from vgpud.session.guest_memory import DirtyLog, GuestMemory, MemoryChange

PAGE = 4096
FILE = 4 * PAGE
LIMIT = 3 * FILE + PAGE
REGIONS = tuple(MemoryRegion(n * 16 * PAGE, FILE, n * 32 * PAGE, 0) for n in range(4))


def made_file() -> int:
    descriptor = os.memfd_create("guest")
    os.ftruncate(descriptor, FILE)
    return descriptor


def is_open(descriptor: int) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").is_symlink()


def held(memory: GuestMemory) -> list[int]:
    return [*memory.descriptors, *([memory.log.descriptor] if memory.log else [])]


@pytest.fixture
def memory() -> Iterator[GuestMemory]:
    """Two regions and a log."""
    made = GuestMemory(LIMIT)
    with made.change() as change:
        change.replace(REGIONS[:2], [made_file(), made_file()])
        change.set_log(DirtyLog(made_file(), PAGE, 0))
        change.commit()
    yield made
    before = held(made)
    made.close()
    assert not any(map(is_open, before))


@pytest.fixture
def file(memory: GuestMemory) -> Iterator[int]:
    """The memory's when it was committed."""
    descriptor = made_file()
    yield descriptor
    if descriptor not in held(memory):
        os.close(descriptor)


def add(change: MemoryChange, file: int) -> None:
    change.add(REGIONS[2], file)


def remove(change: MemoryChange, file: int) -> None:
    change.remove(REGIONS[0])


def replace(change: MemoryChange, file: int) -> None:
    change.replace([REGIONS[3]], [file])


def log(change: MemoryChange, file: int) -> None:
    change.set_log(DirtyLog(file, 2 * PAGE, PAGE))


@pytest.mark.parametrize("how", [add, remove, replace, log])
def test_a_change_that_is_given_up_has_changed_nothing(
    memory: GuestMemory, file: int, how: object
) -> None:
    before = memory.regions, memory.descriptors, memory.log
    with memory.change() as change:
        how(change, file)  # type: ignore[operator]
    assert (memory.regions, memory.descriptors, memory.log) == before
    assert is_open(file)
    assert all(map(is_open, memory.descriptors))


TOO_LONG = REGIONS[3]._replace(size=FILE + PAGE)


@pytest.mark.parametrize(
    "regions",
    [
        [REGIONS[0], REGIONS[0]._replace(guest_address=PAGE)],
        [TOO_LONG],
        [REGIONS[2], TOO_LONG, REGIONS[1]],
    ],
    ids=["overlapping", "too short a file", "the second of three"],
)
def test_a_table_that_is_refused_has_changed_nothing(
    memory: GuestMemory, file: int, regions: list[MemoryRegion]
) -> None:
    before = memory.regions, memory.descriptors, memory.log
    with memory.change() as change, pytest.raises(OSError, match=r"Invalid argument|File exists"):
        change.replace(regions, [file] * len(regions))
    assert (memory.regions, memory.descriptors, memory.log) == before
    assert is_open(file)


def test_a_table_that_is_committed_closes_what_was_before(memory: GuestMemory, file: int) -> None:
    before, logged = memory.descriptors, memory.log
    with memory.change() as change:
        change.replace([REGIONS[3]], [file])
        change.commit()
    assert (memory.regions, memory.descriptors, memory.log) == ((REGIONS[3],), (file,), logged)
    assert not any(map(is_open, before))
    assert logged is not None
    assert is_open(logged.descriptor)


def test_regions_come_and_go(memory: GuestMemory, file: int) -> None:
    first, _ = memory.descriptors
    with memory.change() as change:
        change.add(REGIONS[2], file)
        change.commit()
    assert memory.regions == REGIONS[:3]
    known = memory.find(REGIONS[0]._replace(mmap_offset=12345))
    with memory.change() as change:
        change.remove(known)
        change.commit()
    assert memory.regions == REGIONS[1:3]
    assert not is_open(first)
    assert is_open(file)


def test_a_region_that_nobody_knows_cannot_go(memory: GuestMemory) -> None:
    unknown = REGIONS[0]._replace(user_address=7)
    assert memory.find(unknown) == unknown
    with memory.change() as change, pytest.raises(OSError, match="No such file"):
        change.remove(unknown)


def test_another_log_closes_the_one_before(memory: GuestMemory, file: int) -> None:
    before = memory.log
    assert before is not None
    with memory.change() as change:
        change.set_log(DirtyLog(file, PAGE, 0))
        change.commit()
    assert memory.log == DirtyLog(file, PAGE, 0)
    assert not is_open(before.descriptor)


def test_more_than_the_limit_is_refused_in_words_and_changes_nothing(
    memory: GuestMemory, file: int
) -> None:
    before, bytes_before = memory.regions, memory.bytes
    with memory.change() as change:
        change.add(REGIONS[2], file)
        with pytest.raises(OSError, match=r"69632 bytes of guest memory, more than 53248 \(limits"):
            change.add(REGIONS[3], file)
        with pytest.raises(OSError, match=r"limits.guest_memory"):
            change.set_log(DirtyLog(file, 2 * PAGE, 0))
    assert memory.regions == before
    assert memory.bytes == bytes_before == 2 * FILE + PAGE


def test_sparse_memory_counts_as_what_it_claims_to_be(memory: GuestMemory) -> None:
    """One VMM could else have all of the host's addresses and page tables."""
    sparse = os.memfd_create("sparse")
    os.ftruncate(sparse, 1 << 46)
    with (
        memory.change() as change,
        pytest.raises(OSError, match="guest memory"),
    ):
        change.add(MemoryRegion(1 << 46, 1 << 46, 1 << 46, 0), sparse)
    os.close(sparse)
