# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the spawner does once so that each process that it forks takes less memory of its own.

A forked process shares a page until one of the two writes to it.  What a child allocates would go into the holes
that imports have left, all over the heap, and each hole costs it a page: so there are none when it begins, and what
it allocates lies together.  And no object counts its references any more, where the interpreter can do without.
"""

import ctypes
import gc
from collections.abc import Callable, Iterator
from typing import Any

import trio

from vgpud.device.renderers import import_all
from vgpud.walls import seccomp

from .immortal import make_immortal

# pymalloc: an object of at most 512 bytes is one of a pool of equal ones, and lies behind the pool's header in it
# when it is the first.  (Objects/obmalloc.c of CPython 3.11 to 3.14; where it is otherwise, a limit ends the search.)
POOL_BYTES = 16 * 1024
POOL_HEADER_BYTES = 48
CLASS_STEP = 16
CLASS_MAX = 512
NEW_POOL_PLACES = 8
# More holes of one size are not looked for.
HOLES_MAX = 2048
# malloc(3): larger blocks are mappings of their own.
BLOCK_MAX = 64 * 1024

Filler = Any
_kept: list[Filler] = []


def prepare() -> None:
    """Before a process is forked: what all are to share is made now."""
    import_all()
    seccomp.prepare()
    trio.run(_use_event_loop)
    gc.collect()
    make_immortal()
    _fill_heap()
    # Filling them makes and frees objects too.
    for _ in range(2):
        _kept.extend(_fill_pools())
    # And the list of them has grown out of one place after the other.
    _fill_heap()
    # The collector would write into pages that children share with us (gc.freeze's own documentation).
    gc.freeze()


async def _use_event_loop() -> None:
    """What it makes at its first use."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.lowlevel.checkpoint)
        with trio.move_on_after(0):
            await trio.sleep_forever()


def _fill_pools() -> Iterator[Filler]:
    """Objects for all places that are free in pools that are in use."""
    for size in range(CLASS_STEP, CLASS_MAX + 1, CLASS_STEP):
        make = _maker(size)
        before, in_a_row = 0, 0
        for _ in range(HOLES_MAX):
            filler = make()
            yield filler
            # The first places of a pool, one after the other, are a new pool's.
            begins = id(filler) % POOL_BYTES == POOL_HEADER_BYTES
            follows = in_a_row > 0 and id(filler) == before + size
            in_a_row = 1 if begins else (in_a_row + 1) * follows
            before = id(filler)
            if in_a_row == NEW_POOL_PLACES:
                break


def _maker(size: int) -> Callable[[], Filler]:
    """Makes an object of that many bytes, which the collector does not know."""
    if size == object.__sizeof__(object()):
        return object
    header = b"".__sizeof__()
    if size < header:
        number = 1 << 29  # the next number's bytes are rounded up to this size
        return lambda: number + 1
    return lambda: bytes(size - header)


def _fill_heap() -> None:
    """Blocks for all holes of the C library's heap, which are never freed."""
    library = ctypes.CDLL(None)
    malloc, free = library.malloc, library.free
    malloc.restype = ctypes.c_void_p
    malloc.argtypes = [ctypes.c_size_t]
    free.argtypes = [ctypes.c_void_p]
    free.restype = None
    end = library.sbrk
    end.restype = ctypes.c_void_p
    end.argtypes = [ctypes.c_ssize_t]
    # Whole pages that are free are given back: a filler does not touch more than its first bytes.
    library.malloc_trim(0)
    size = BLOCK_MAX
    while size >= CLASS_STEP:
        for _ in range(HOLES_MAX):
            block = malloc(size)
            # What is behind everything else is no hole.
            if block is None or block + 2 * BLOCK_MAX > end(0):
                free(block)
                break
        size = size * 7 // 8 // CLASS_STEP * CLASS_STEP
