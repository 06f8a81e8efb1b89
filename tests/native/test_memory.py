# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The table of guest memory's regions."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vgpud.link.memory_table import MemoryTable
from vgpud.link.messages import MemoryRegion
from vgpud.native import lib, made

from .tables import changed

PAGE = 4096
LAST = (1 << 64) - PAGE


@pytest.fixture
def table() -> Iterator[Any]:
    made_table = made(lib.memory_table_new())
    yield made_table
    lib.memory_table_free(made_table)


@pytest.fixture
def file() -> Iterator[int]:
    fd = os.memfd_create("guest")
    os.ftruncate(fd, 16 * PAGE)
    yield fd
    os.close(fd)


def test_regions_that_touch_are_two_regions(table: Any, file: int) -> None:
    assert lib.memory_table_add(table, file, PAGE, PAGE, PAGE, 0) == 0
    assert lib.memory_table_add(table, file, 0, PAGE, 0, PAGE) == 0
    assert lib.memory_table_add(table, file, 2 * PAGE, PAGE, 2 * PAGE, 2 * PAGE) == 0


@pytest.mark.parametrize(("start", "pages"), [(4, 2), (3, 2), (5, 2), (3, 6), (5, 1)])
def test_regions_may_not_overlap(table: Any, file: int, start: int, pages: int) -> None:
    assert lib.memory_table_add(table, file, 4 * PAGE, 2 * PAGE, 0, 0) == 0
    size = pages * PAGE
    assert lib.memory_table_add(table, file, start * PAGE, size, 0, 0) == -errno.EEXIST


@pytest.mark.parametrize(
    ("guest_address", "size", "user_address", "mmap_offset"),
    [
        (0, 0, 0, 0),
        (LAST, 2 * PAGE, 0, 0),
        (0, 2 * PAGE, LAST, 0),
        (0, 17 * PAGE, 0, 0),
        (0, PAGE, 0, 16 * PAGE),
        (0, PAGE, 0, LAST),
        (0, (1 << 64) - 1, 0, 0),
    ],
)
def test_a_region_that_wraps_or_exceeds_its_file_is_refused(
    table: Any, file: int, guest_address: int, size: int, user_address: int, mmap_offset: int
) -> None:
    added = lib.memory_table_add(table, file, guest_address, size, user_address, mmap_offset)
    assert added == -errno.EINVAL


def test_the_last_page_of_the_address_space_can_be_memory(table: Any, file: int) -> None:
    assert lib.memory_table_add(table, file, LAST, PAGE, LAST, 0) == 0
    assert lib.memory_table_remove(table, LAST, PAGE, LAST) == 0


def test_an_offset_inside_a_page_is_mapped(table: Any, file: int) -> None:
    assert lib.memory_table_add(table, file, 0, PAGE, 0, 512) == 0


def test_what_is_no_file_is_refused(table: Any) -> None:
    assert lib.memory_table_add(table, -1, 0, PAGE, 0, 0) == -errno.EBADF


def test_a_region_is_removed_by_all_of_its_numbers(table: Any, file: int) -> None:
    assert lib.memory_table_add(table, file, PAGE, PAGE, 0, 0) == 0
    assert lib.memory_table_remove(table, PAGE, PAGE, PAGE) == -errno.ENOENT
    assert lib.memory_table_remove(table, PAGE, 2 * PAGE, 0) == -errno.ENOENT
    assert lib.memory_table_remove(table, 0, PAGE, 0) == -errno.ENOENT
    assert lib.memory_table_remove(table, PAGE, PAGE, 0) == 0
    assert lib.memory_table_remove(table, PAGE, PAGE, 0) == -errno.ENOENT
    assert lib.memory_table_add(table, file, PAGE, PAGE, 0, 0) == 0


def test_as_many_regions_as_qemu_may_give_fit(table: Any, file: int) -> None:
    for index in range(509):
        assert lib.memory_table_add(table, file, index * PAGE, PAGE, 0, 0) == 0
    assert lib.memory_table_add(table, file, 509 * PAGE, PAGE, 0, 0) == -errno.ENOSPC
    lib.memory_table_clear(table)
    assert lib.memory_table_add(table, file, 509 * PAGE, PAGE, 0, 0) == 0


@pytest.mark.parametrize(("size", "offset"), [(0, 0), (17 * PAGE, 0), (PAGE, 16 * PAGE)])
def test_a_dirty_log_beyond_its_file_is_refused(
    table: Any, file: int, size: int, offset: int
) -> None:
    assert lib.memory_table_set_log(table, file, size, offset) == -errno.EINVAL


# --- from one table to the next


@pytest.fixture
def memory() -> Iterator[Any]:
    made_memory = made(lib.guest_memory_new())
    yield made_memory
    lib.guest_memory_free(made_memory)


def mapped(file: int) -> list[str]:
    """Where this process has the file mapped."""
    name = Path(f"/proc/self/fd/{file}").readlink()
    maps = Path("/proc/self/maps").read_text().splitlines()
    return [line.split()[0] for line in maps if str(name) in line]


def region(page: int, pages: int = 1) -> MemoryRegion:
    return MemoryRegion(page * PAGE, pages * PAGE, page * PAGE, page * PAGE)


def test_a_table_that_is_given_up_leaves_nothing_behind(memory: Any, file: int) -> None:
    with changed(memory) as table:
        table.add(region(0), file)
    before = mapped(file)
    with MemoryTable(memory) as table:
        table.add(region(4), file)
        table.remove(region(0))
        table.set_log(file, PAGE, 0)
        assert set(mapped(file)) > set(before)
    assert mapped(file) == before
    with MemoryTable(memory) as table:
        table.remove(region(0))


def test_regions_that_stay_keep_their_place(memory: Any, file: int) -> None:
    with changed(memory) as table:
        table.add(region(0), file)
        table.add(region(8), file)
    before = mapped(file)
    with changed(memory) as table:
        table.remove(region(8))
        table.add(region(4), file)
    after = mapped(file)
    assert len(before) == len(after) == 2
    assert len(set(before) & set(after)) == 1


def test_the_log_stays_when_regions_change(memory: Any, file: int) -> None:
    with changed(memory) as table:
        table.set_log(file, PAGE, 0)
    before = mapped(file)
    with changed(memory) as table:
        table.clear()
    assert mapped(file) == before
    with changed(memory) as table:
        table.set_log(-1, 0, 0)
    assert mapped(file) == []


def test_a_log_that_is_refused_leaves_the_one_before(memory: Any, file: int) -> None:
    with changed(memory) as table:
        table.set_log(file, PAGE, 0)
        with pytest.raises(OSError, match="Invalid argument"):
            table.set_log(file, 17 * PAGE, 0)
    assert len(mapped(file)) == 1


def test_the_table_before_is_unmapped(memory: Any, file: int) -> None:
    for page in range(8):
        with changed(memory) as table:
            table.clear()
            table.add(region(page), file)
        assert len(mapped(file)) == 1
