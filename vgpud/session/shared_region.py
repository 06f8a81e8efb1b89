# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Host-visible memory as a table: which parts of the shared memory region are taken. The guest says
where a blob is mapped, and its request comes through a process that it may have taken over.
"""

import errno
import mmap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

PAGE = mmap.PAGESIZE


class Window(NamedTuple):
    """A part of the region, in bytes, at which a file is mapped; the device and inode of that file."""

    offset: int
    length: int
    file: tuple[int, int]

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.length


class SharedRegion:
    """``size`` is in bytes and whole pages; 0: there is no such region.

    A window belongs to a resource, or to none when the VMM would not unmap it.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._windows: dict[Window, int | None] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def __iter__(self) -> Iterator[Window]:
        return iter(self._windows)

    @property
    def mapped_bytes(self) -> int:
        """The size of all windows."""
        return sum(window.length for window in self._windows)

    def of(self, resource_id: int) -> Window | None:
        """The window of a resource, if it has one."""
        return next((one for one, owner in self._windows.items() if owner == resource_id), None)

    def shows(self, file: tuple[int, int]) -> bool:
        """Whether that file is mapped anywhere."""
        return any(window.file == file for window in self._windows)

    def take(self, window: Window, resource_id: int) -> None:
        """Adds a window; OSError with EINVAL when it makes no sense."""
        if not window.length or window.offset % PAGE or window.length % PAGE:
            raise _wrong(f"{window.length} bytes at {window.offset} are not whole pages")
        if window.end > self.size:
            raise _wrong(f"{window.length} bytes at {window.offset} of {self.size}")
        if self.of(resource_id) is not None:
            raise _wrong(f"resource {resource_id} is mapped already")
        if _overlaps(window, self._windows):
            raise _wrong(f"what is at {window.offset} is mapped already")
        self._windows[window] = resource_id

    def give_back(self, window: Window) -> None:
        """Removes a window: its place is free again."""
        del self._windows[window]

    def disown(self) -> None:
        """The resources have gone, but their windows stay until they are given back."""
        self._windows = dict.fromkeys(self._windows)


def _overlaps(window: Window, others: Iterable[Window]) -> bool:
    return any(window.offset < other.end and other.offset < window.end for other in others)


def _wrong(text: str) -> OSError:
    return OSError(errno.EINVAL, text)
