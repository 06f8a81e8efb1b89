# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The table of guest memory's regions."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest

from vgpud.native import lib, made

PAGE = 4096
LAST = (1 << 64) - PAGE


@pytest.fixture
def memory() -> Iterator[Any]:
    made_memory = made(lib.guest_memory_new())
    yield made_memory
    lib.guest_memory_free(made_memory)


@pytest.fixture
def file() -> Iterator[int]:
    fd = os.memfd_create("guest")
    os.ftruncate(fd, 16 * PAGE)
    yield fd
    os.close(fd)


def test_regions_that_touch_are_two_regions(memory: Any, file: int) -> None:
    assert lib.guest_memory_add(memory, file, PAGE, PAGE, PAGE, 0) == 0
    assert lib.guest_memory_add(memory, file, 0, PAGE, 0, PAGE) == 0
    assert lib.guest_memory_add(memory, file, 2 * PAGE, PAGE, 2 * PAGE, 2 * PAGE) == 0


@pytest.mark.parametrize(("start", "pages"), [(4, 2), (3, 2), (5, 2), (3, 6), (5, 1)])
def test_regions_may_not_overlap(memory: Any, file: int, start: int, pages: int) -> None:
    assert lib.guest_memory_add(memory, file, 4 * PAGE, 2 * PAGE, 0, 0) == 0
    size = pages * PAGE
    assert lib.guest_memory_add(memory, file, start * PAGE, size, 0, 0) == -errno.EEXIST


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
    memory: Any, file: int, guest_address: int, size: int, user_address: int, mmap_offset: int
) -> None:
    added = lib.guest_memory_add(memory, file, guest_address, size, user_address, mmap_offset)
    assert added == -errno.EINVAL


def test_the_last_page_of_the_address_space_can_be_memory(memory: Any, file: int) -> None:
    assert lib.guest_memory_add(memory, file, LAST, PAGE, LAST, 0) == 0
    assert lib.guest_memory_remove(memory, LAST, PAGE, LAST) == 0


def test_an_offset_inside_a_page_is_mapped(memory: Any, file: int) -> None:
    assert lib.guest_memory_add(memory, file, 0, PAGE, 0, 512) == 0


def test_what_is_no_file_is_refused(memory: Any) -> None:
    assert lib.guest_memory_add(memory, -1, 0, PAGE, 0, 0) == -errno.EBADF


def test_a_region_is_removed_by_all_of_its_numbers(memory: Any, file: int) -> None:
    assert lib.guest_memory_add(memory, file, PAGE, PAGE, 0, 0) == 0
    assert lib.guest_memory_remove(memory, PAGE, PAGE, PAGE) == -errno.ENOENT
    assert lib.guest_memory_remove(memory, PAGE, 2 * PAGE, 0) == -errno.ENOENT
    assert lib.guest_memory_remove(memory, 0, PAGE, 0) == -errno.ENOENT
    assert lib.guest_memory_remove(memory, PAGE, PAGE, 0) == 0
    assert lib.guest_memory_remove(memory, PAGE, PAGE, 0) == -errno.ENOENT
    assert lib.guest_memory_add(memory, file, PAGE, PAGE, 0, 0) == 0


def test_as_many_regions_as_qemu_may_give_fit(memory: Any, file: int) -> None:
    for index in range(509):
        assert lib.guest_memory_add(memory, file, index * PAGE, PAGE, 0, 0) == 0
    assert lib.guest_memory_add(memory, file, 509 * PAGE, PAGE, 0, 0) == -errno.ENOSPC
    lib.guest_memory_clear(memory)
    assert lib.guest_memory_add(memory, file, 509 * PAGE, PAGE, 0, 0) == 0


@pytest.mark.parametrize(("size", "offset"), [(0, 0), (17 * PAGE, 0), (PAGE, 16 * PAGE)])
def test_a_dirty_log_beyond_its_file_is_refused(
    memory: Any, file: int, size: int, offset: int
) -> None:
    assert lib.guest_memory_set_log(memory, file, size, offset) == -errno.EINVAL
