# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What librutabaga_gfx_ffi's 2D alone needs to take a picture, and to give it back: what a transfer
and a flush are compared with.

``python -m contrib.bench.rutabaga_library`` measures once for each line of standard input, and prints a write, a read and a copy, in
seconds (``reference.py``).
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import time
from typing import Any

LIBRARY = "librutabaga_gfx_ffi.so.0"
RESOURCE, SURFACELESS = 1, 1
WIDTH, HEIGHT, PIXEL = 1920, 1080, 4
TEXTURE_2D, FORMAT, BIND = 2, 2, 1 << 1
SIZE = WIDTH * HEIGHT * PIXEL
# As the guest's memory lies.
RUN = 16 * 4096

_Fence = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_void_p)


class _Builder(ctypes.Structure):
    """struct rutabaga_builder of the newest releases, of which older ones have a part; no
    capability set: 2D.
    """

    _fields_ = (
        ("user_data", ctypes.c_uint64),
        ("capset_mask", ctypes.c_uint64),
        ("wsi", ctypes.c_uint64),
        ("fence", _Fence),
        ("rest", ctypes.c_void_p * 3),
    )


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Iovecs(ctypes.Structure):
    _fields_ = (("iovecs", ctypes.POINTER(_Iovec)), ("count", ctypes.c_size_t))


class _Transfer(ctypes.Structure):
    _fields_ = (("numbers", ctypes.c_uint32 * 9), ("offset", ctypes.c_uint64))


def _address(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Picture:
    """A resource of the library, with a backing."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY)
        self._no_fence = _Fence(lambda cookie, fence: None)
        self._handle = ctypes.c_void_p()
        builder = _Builder(wsi=SURFACELESS, fence=self._no_fence)
        self._call("init", ctypes.byref(builder), ctypes.byref(self._handle))
        numbers = (TEXTURE_2D, FORMAT, BIND, WIDTH, HEIGHT, 1, 1, 0, 0, 0)
        arguments = (ctypes.c_uint32 * 10)(*numbers)
        self._call("resource_create_3d", self._handle, RESOURCE, arguments)
        # Aligned to a page, like a guest's memory and an image, since the time of a copy depends on
        # it.
        self._guest, self._pixels, self._copy = (mmap.mmap(-1, SIZE) for _ in range(3))
        for memory in (self._guest, self._pixels, self._copy):
            memory.write(b"\x20" * SIZE)
        begin = _address(self._guest)
        runs = [_Iovec(begin + at, min(RUN, SIZE - at)) for at in range(0, SIZE, RUN)]
        self._runs = (_Iovec * len(runs))(*runs)
        backing = _Iovecs(self._runs, len(runs))
        self._call("resource_attach_backing", self._handle, RESOURCE, ctypes.byref(backing))
        whole = (ctypes.c_uint32 * 9)(0, 0, 0, WIDTH, HEIGHT, 1, 0, WIDTH * PIXEL, 0)
        self._whole = _Transfer(whole, 0)
        self._iov = _Iovec(_address(self._pixels), SIZE)

    def _call(self, name: str, *arguments: Any) -> None:
        if error := getattr(self._library, f"rutabaga_{name}")(*arguments):
            raise RuntimeError(f"rutabaga_{name} failed with {error}")

    def write(self) -> float:
        """Seconds for the whole picture out of the guest's memory."""
        return self._transfer("resource_transfer_write")

    def read(self) -> float:
        """Seconds for the whole picture, into contiguous memory."""
        return self._transfer("resource_transfer_read", ctypes.byref(self._iov))

    def _transfer(self, name: str, *to: Any) -> float:
        begun = time.perf_counter()
        self._call(name, self._handle, 0, RESOURCE, ctypes.byref(self._whole), *to)
        return time.perf_counter() - begun

    def copy(self) -> float:
        """Seconds for a copy of it."""
        begun = time.perf_counter()
        ctypes.memmove(_address(self._copy), _address(self._pixels), SIZE)
        return time.perf_counter() - begun


def main() -> None:
    picture = Picture()
    for _ in sys.stdin:
        print(picture.write(), picture.read(), picture.copy(), flush=True)


if __name__ == "__main__":
    main()
