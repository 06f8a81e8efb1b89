# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Memory tables as the tests change them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.driver.memory import Region
from vgpud.link.memory_table import MemoryTable
from vgpud.link.messages import MemoryRegion


@contextmanager
def changed(memory: Any) -> Iterator[MemoryTable]:
    """The table of native guest memory, which is in use as it is left when the block ends."""
    with MemoryTable(memory) as table:
        yield table
        table.use()


def share(memory: Any, regions: Sequence[Region]) -> None:
    """These regions and no others."""
    with changed(memory) as table:
        table.clear()
        for region in regions:
            table.add(described(region), region.fd)


def described(region: Region) -> MemoryRegion:
    """As a front-end describes it."""
    return MemoryRegion(region.guest_address, region.size, region.user_address, region.mmap_offset)
