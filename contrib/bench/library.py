# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What libvirglrenderer alone needs to read a picture back, and a copy of it: what a flush without
a GPU is compared with.

In a process of its own, as the library needs the same thread all the time: ``python -m
contrib.bench.library FORMAT`` measures once
for each line of standard input, and prints both in seconds (``reference.py``).
"""

from __future__ import annotations

import ctypes
import sys
import time
from typing import Any

from tests.driver import commands_3d
from tests.driver.commands_3d import Box, Resource3D

LIBRARY = "libvirglrenderer.so.1"
# EGL, surfaceless, OpenGL ES, fences by a thread and a callback: as vgpud starts it by default.
FLAGS = 1 | 8 | 16 | 2 | 256
RESOURCE = CTX = 1
COLOR = (1.0, 0.5, 0.25, 1.0)


class _Callbacks(ctypes.Structure):
    """Version 1 of struct virgl_renderer_callbacks; without GL callbacks, as EGL needs none."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("write_fence", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32)),
        ("gl_callbacks", ctypes.c_void_p * 3),
    )


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Picture:
    """A resource of the library that a context has drawn, and memory to read it into."""

    def __init__(self, picture: Resource3D) -> None:
        self._library = ctypes.CDLL(LIBRARY)
        self._no_fence = _Callbacks._fields_[1][1](lambda cookie, fence: None)
        self._callbacks = _Callbacks(1, self._no_fence)
        self._call("init", ctypes.byref(self._callbacks), FLAGS, ctypes.byref(self._callbacks))
        numbers = (picture.target, picture.format, picture.bind, picture.width, picture.height)
        rest = (picture.depth, picture.array_size, picture.last_level, picture.nr_samples)
        arguments = (ctypes.c_uint32 * 11)(RESOURCE, *numbers, *rest, picture.flags)
        self._call("resource_create", arguments, None, 0)
        self._call("context_create", CTX, 0, b"")
        self._library.virgl_renderer_ctx_attach_resource(CTX, RESOURCE)
        stream = commands_3d.clear(RESOURCE, picture.format, COLOR)
        self._call("submit_cmd", ctypes.create_string_buffer(stream), CTX, len(stream) // 4)
        self._box = (ctypes.c_uint32 * 6).from_buffer_copy(
            Box(0, 0, 0, picture.width, picture.height, 1).pack()
        )
        self.size = 4 * picture.width * picture.height
        self._pixels, self._copy = (ctypes.create_string_buffer(self.size) for _ in range(2))
        self._iov = _Iovec(ctypes.addressof(self._pixels), self.size)

    def _call(self, name: str, *arguments: Any) -> None:
        if error := getattr(self._library, f"virgl_renderer_{name}")(*arguments):
            raise RuntimeError(f"virgl_renderer_{name} failed with {error}")

    def read_back(self) -> float:
        """Seconds for the whole picture, into contiguous memory."""
        begun = time.perf_counter()
        self._call(
            "transfer_read_iov",
            *(RESOURCE, 0, 0, 0, 0, self._box),
            *(ctypes.c_uint64(0), ctypes.byref(self._iov), 1),
        )
        return time.perf_counter() - begun

    def copy(self) -> float:
        """Seconds for a copy of it."""
        begun = time.perf_counter()
        ctypes.memmove(self._copy, self._pixels, self.size)
        return time.perf_counter() - begun


def main() -> None:
    width, height = 1920, 1080
    picture = Picture(Resource3D(format=int(sys.argv[1]), width=width, height=height))
    for _ in sys.stdin:
        print(picture.read_back(), picture.copy(), flush=True)


if __name__ == "__main__":
    main()
