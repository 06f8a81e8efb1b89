# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the spawner does once so that each process that it forks takes less memory of its own.

A forked process shares a page until one of the two writes to it.  What a child allocates would go
into the holes that imports have left, all over the heap, and each hole would cost it a page.  So
the holes are filled before the fork, and what a child allocates lies together.  Objects no longer
count their references, where the interpreter allows that.  And a session is rehearsed.
"""

import ctypes
import gc
from collections.abc import Callable, Iterator
from typing import Any

from vgpud.device.renderers import import_all
from vgpud.session.rehearsal import rehearse
from vgpud.walls import seccomp

from .immortal import make_immortal

# pymalloc: an object of at most 512 bytes is in a pool of objects of the same size, and the first
# one is right after the pool's header.  (Objects/obmalloc.c of CPython 3.11 to 3.14; in case this
# changes, a limit ends the search.)
POOL_BYTES = 16 * 1024
POOL_HEADER_BYTES = 48
CLASS_STEP = 16
CLASS_MAX = 512
NEW_POOL_PLACES = 8
# More holes of one size than this are not looked for.
HOLES_MAX = 2048
# malloc(3): larger blocks are mappings of their own.
BLOCK_MAX = 64 * 1024

Filler = Any
_kept: list[Filler] = []


def prepare() -> None:
    """Call it before a process is forked: it makes now what all will share."""
    import_all()
    seccomp.prepare()
    rehearse()
    gc.collect()
    make_immortal()
    _fill_heap()
    # Twice, since filling them makes and frees objects too.
    for _ in range(2):
        _kept.extend(_fill_pools())
    # Once more for the places that the list of fillers has left while it grew.
    _fill_heap()
    # The collector would write into pages that children share with us (gc.freeze's own documentation).
    gc.freeze()


def _fill_pools() -> Iterator[Filler]:
    """Objects for all free places in pools that are in use."""
    for size in range(CLASS_STEP, CLASS_MAX + 1, CLASS_STEP):
        make = _maker(size)
        before, in_a_row = 0, 0
        for _ in range(HOLES_MAX):
            filler = make()
            yield filler
            # Places in a row that begin with a pool's first one are in a new pool.
            begins = id(filler) % POOL_BYTES == POOL_HEADER_BYTES
            follows = in_a_row > 0 and id(filler) == before + size
            in_a_row = 1 if begins else (in_a_row + 1) * follows
            before = id(filler)
            if in_a_row == NEW_POOL_PLACES:
                break


def _maker(size: int) -> Callable[[], Filler]:
    """A function that makes an object of that many bytes which the collector does not track."""
    if size == object.__sizeof__(object()):
        return object
    header = b"".__sizeof__()
    if size < header:
        number = 1 << 29  # the next number's bytes are rounded up to this size
        return lambda: number + 1
    return lambda: bytes(size - header)


def _fill_heap() -> None:
    """Allocates blocks for all holes of the C library's heap, which are never freed."""
    library = ctypes.CDLL(None)
    malloc, free = library.malloc, library.free
    malloc.restype = ctypes.c_void_p
    malloc.argtypes = [ctypes.c_size_t]
    free.argtypes = [ctypes.c_void_p]
    free.restype = None
    end = library.sbrk
    end.restype = ctypes.c_void_p
    end.argtypes = [ctypes.c_ssize_t]
    # Gives back whole free pages: a filler touches only its first bytes.
    library.malloc_trim(0)
    size = BLOCK_MAX
    while size >= CLASS_STEP:
        for _ in range(HOLES_MAX):
            block = malloc(size)
            # A block behind everything else is not in a hole.
            if block is None or block + 2 * BLOCK_MAX > end(0):
                free(block)
                break
        size = size * 7 // 8 // CLASS_STEP * CLASS_STEP
