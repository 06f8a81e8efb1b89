# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""libvirglrenderer with its render server: contexts of Venus, blobs, streams, fences.  One thread for all of it."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

LIBRARY = "libvirglrenderer.so.1"
# Venus by the render server, without OpenGL; fences by threads and a callback: as vgpud starts it for Venus alone.
FLAGS = 64 | 512 | 128 | 2 | 256
VENUS = 4
OPAQUE = 2
"""A kind of exported file: what drivers that draw in software have their memory in, with a page of their own first."""
FENCES = Path(__file__).with_name("fences.c")


class _Callbacks(ctypes.Structure):
    """Version 3 of struct virgl_renderer_callbacks."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("write_fence", ctypes.c_void_p),
        ("gl_callbacks", ctypes.c_void_p * 3),
        ("get_drm_fd", ctypes.c_void_p),
        ("write_context_fence", ctypes.c_void_p),
        ("get_server_fd", ctypes.c_void_p),
    )


class _Blob(ctypes.Structure):
    """struct virgl_renderer_resource_create_blob_args."""

    _fields_ = (
        ("res_handle", ctypes.c_uint32),
        ("ctx_id", ctypes.c_uint32),
        ("blob_mem", ctypes.c_uint32),
        ("blob_flags", ctypes.c_uint32),
        ("blob_id", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("iovecs", ctypes.c_void_p),
        ("num_iovs", ctypes.c_uint32),
    )


class LibraryError(Exception):
    """A function of the library's failed."""


def _noter() -> ctypes.CDLL:
    """The callback for fences, compiled: one in Python would wait for the interpreter."""
    with tempfile.TemporaryDirectory(prefix="vgpud-bench-") as folder:
        path = Path(folder, "fences.so")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", FENCES, "-o", path], check=True)
        return ctypes.CDLL(str(path))


class Library:
    """``passed``: the word that has the number of the last fence that has passed."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY)
        self._noter = _noter()
        self._callbacks = _Callbacks(3)
        note = ctypes.cast(self._noter.fences_note, ctypes.c_void_p)
        self._callbacks.write_context_fence = note
        self._callbacks.write_fence = ctypes.cast(self._noter.fences_ignore, ctypes.c_void_p)
        word = ctypes.c_uint64.in_dll(self._noter, "fences_passed")
        self.passed = memoryview(word).cast("B").cast("Q")
        self._call("init", ctypes.byref(self._callbacks), FLAGS, ctypes.byref(self._callbacks))
        self._submit = self._library.virgl_renderer_submit_cmd
        self._fence = self._library.virgl_renderer_context_create_fence
        self._fence.argtypes = (*[ctypes.c_uint32] * 3, ctypes.c_uint64)

    def _call(self, name: str, *arguments: Any) -> None:
        if error := getattr(self._library, f"virgl_renderer_{name}")(*arguments):
            raise LibraryError(f"virgl_renderer_{name} failed with {error}")

    def close(self) -> None:
        self._library.virgl_renderer_cleanup(ctypes.byref(self._callbacks))

    def capset(self) -> bytes:
        version, size = ctypes.c_uint32(), ctypes.c_uint32()
        self._library.virgl_renderer_get_cap_set(VENUS, ctypes.byref(version), ctypes.byref(size))
        data = ctypes.create_string_buffer(size.value)
        self._library.virgl_renderer_fill_caps(VENUS, 0, data)
        return data.raw

    def create_context(self, ctx_id: int, name: bytes = b"bench") -> None:
        self._call("context_create_with_flags", ctx_id, VENUS, len(name), name)

    def destroy_context(self, ctx_id: int) -> None:
        self._library.virgl_renderer_context_destroy(ctx_id)

    def submit(self, ctx_id: int, stream: bytes) -> None:
        if error := self._submit(stream, ctx_id, len(stream) // 4):
            raise LibraryError(f"a stream of {len(stream)} bytes failed with {error}")

    def create_fence(self, ctx_id: int, ring_idx: int, fence_id: int) -> None:
        if error := self._fence(ctx_id, 1, ring_idx, fence_id):
            raise LibraryError(f"a fence of ring {ring_idx} failed with {error}")

    def create_blob(
        self, ctx_id: int, resource_id: int, blob_mem: int, blob_flags: int, size: int, blob_id: int
    ) -> None:
        blob = _Blob(resource_id, ctx_id, blob_mem, blob_flags, blob_id, size, None, 0)
        self._call("resource_create_blob", ctypes.byref(blob))
        self._library.virgl_renderer_ctx_attach_resource(ctx_id, resource_id)

    def export(self, resource_id: int) -> tuple[int, int]:
        """A blob's file, and where its memory begins there."""
        kind, fd = ctypes.c_uint32(), ctypes.c_int(-1)
        self._call("resource_export_blob", resource_id, ctypes.byref(kind), ctypes.byref(fd))
        return fd.value, mmap.PAGESIZE if kind.value == OPAQUE else 0

    def unref(self, ctx_id: int, resource_id: int) -> None:
        self._library.virgl_renderer_ctx_detach_resource(ctx_id, resource_id)
        self._library.virgl_renderer_resource_unref(resource_id)


def map_file(fd: int, offset: int, size: int) -> memoryview:
    """Closes the descriptor."""
    try:
        return memoryview(mmap.mmap(fd, size, offset=offset))
    finally:
        os.close(fd)
