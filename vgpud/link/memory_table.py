# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How either process changes its memory table: in one step, or not at all."""

from types import TracebackType
from typing import Any, Self

from vgpud.link.messages import MemoryRegion
from vgpud.native import checked, ffi, lib, made


class MemoryTable:
    """A copy of the table in use of ``memory``, the native object, which can be changed. In a
    ``with`` statement, which drops it unless :meth:`use` was called.  A method that raises OSError has
    changed nothing, and the table in use stays as it is.
    """

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self._table = made(lib.guest_memory_table(memory))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lib.memory_table_free(self._table)
        self._table = ffi.NULL

    def add(self, region: MemoryRegion, descriptor: int) -> None:
        """Maps one more region; the descriptor stays the caller's."""
        guest_address, size, user_address, mmap_offset = region
        checked(
            lib.memory_table_add(
                self._table, descriptor, guest_address, size, user_address, mmap_offset
            )
        )

    def remove(self, region: MemoryRegion) -> None:
        guest_address, size, user_address, _ = region
        checked(lib.memory_table_remove(self._table, guest_address, size, user_address))

    def clear(self) -> None:
        """Removes its regions."""
        lib.memory_table_clear(self._table)

    def set_log(self, descriptor: int, size: int, offset: int) -> None:
        """Sets the dirty log; a descriptor of -1 takes it away."""
        checked(lib.memory_table_set_log(self._table, descriptor, size, offset))

    def use(self) -> None:
        """Makes this the table in use: everybody who has pointers looks them up again."""
        lib.guest_memory_use(self._memory, self._table)
        self._table = ffi.NULL
