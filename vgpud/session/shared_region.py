# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Host-visible memory as a table: which parts of the shared memory region are taken.

Where a blob is mapped is the guest's to say, and what it says comes through a process that it may
have taken over.
"""

import errno
import mmap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

PAGE = mmap.PAGESIZE


class Window(NamedTuple):
    """A part of the region, in bytes, that a file is mapped at; the device and the number of that
    file's inode.
    """

    offset: int
    length: int
    file: tuple[int, int]

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.length


class SharedRegion:
    """``size`` is in bytes and whole pages; 0: there is no such region.

    A window is some resource's, or nobody's any more when the VMM would not give it up.
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
        """Of all windows."""
        return sum(window.length for window in self._windows)

    def of(self, resource_id: int) -> Window | None:
        """The window of a resource, if it has one."""
        return next((one for one, owner in self._windows.items() if owner == resource_id), None)

    def shows(self, file: tuple[int, int]) -> bool:
        """Whether that file is mapped anywhere."""
        return any(window.file == file for window in self._windows)

    def take(self, window: Window, resource_id: int) -> None:
        """OSError with EINVAL when the guest cannot have meant that."""
        if not window.length or window.offset % PAGE or window.length % PAGE:
            raise _wrong(f"{window.length} bytes at {window.offset} are no whole pages")
        if window.end > self.size:
            raise _wrong(f"{window.length} bytes at {window.offset} of {self.size}")
        if self.of(resource_id) is not None:
            raise _wrong(f"resource {resource_id} is mapped already")
        if _overlaps(window, self._windows):
            raise _wrong(f"what is at {window.offset} is mapped already")
        self._windows[window] = resource_id

    def give_back(self, window: Window) -> None:
        """It is free again."""
        del self._windows[window]

    def disown(self) -> None:
        """The resources have gone; their windows are there until they are given back."""
        self._windows = dict.fromkeys(self._windows)


def _overlaps(window: Window, others: Iterable[Window]) -> bool:
    return any(window.offset < other.end and other.offset < window.end for other in others)


def _wrong(text: str) -> OSError:
    return OSError(errno.EINVAL, text)
