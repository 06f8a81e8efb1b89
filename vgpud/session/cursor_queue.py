# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The cursor queue's task: it waits for the driver's kick and has native code carry out the
commands. It shares nothing with the control queue, so that a cursor moves while that one is busy.
"""

import errno
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from vgpud.link.messages import QueueConfig
from vgpud.native import checked, ffi, lib, made
from vgpud.session.journal import MEMORY_ENTRY_BYTES

POLLING_INTERVAL = 0.002
"""Seconds, for a front-end that gives no kick: vhost-user then requires polling."""

_BROKEN = {
    lib.CURSOR_QUEUE_BROKEN: "the cursor queue is broken",
    lib.CURSOR_MEMORY_FAULT: "guest memory of the cursor queue has gone",
}


class CursorQueue:
    """``memory``, ``state`` and ``presenter`` are the native objects, which must outlive this.

    Any task may call the methods; one task calls :meth:`run`.
    """

    def __init__(self, memory: Any, state: Any, presenter: Any, num_scanouts: int) -> None:
        self._cursor = made(lib.cursor_new(memory, state, presenter, num_scanouts))
        self._started = False
        self._looked = True
        self._waiting: trio.CancelScope | None = None

    def close(self) -> None:
        """Must be called after :meth:`run` has ended."""
        lib.cursor_free(self._cursor)

    # --- what the front-end wants; OSError when it cannot be done

    def start(self, config: QueueConfig, base: int, call: int | None, err: int | None) -> None:
        """Starts at ``base``, in vhost-user's form; descriptors are duplicated."""
        native = ffi.new("struct virtqueue_config *", config._asdict())
        checked(lib.cursor_queue_start(self._cursor, native, base, _or_none(call), _or_none(err)))
        self._started = True
        self._look()

    def stop(self) -> int:
        """Stops, and answers the commands that wait for an image; returns the base to go on
        from.
        """
        base = ffi.new("uint32_t *")
        checked(lib.cursor_queue_stop(self._cursor, base))
        self._started = False
        return int(base[0])

    def set_enabled(self, enabled: bool) -> None:
        """Enables or disables it.  Commands that came while it was disabled need no other kick."""
        checked(lib.cursor_queue_set_enabled(self._cursor, int(enabled)))
        self._look()

    def set_kick(self, descriptor: int | None) -> None:
        """Duplicates the descriptor; None: there is none."""
        checked(lib.cursor_queue_set_fd(self._cursor, lib.QUEUE_KICK, _or_none(descriptor)))
        self._look()

    def set_call(self, descriptor: int | None) -> None:
        checked(lib.cursor_queue_set_fd(self._cursor, lib.QUEUE_CALL, _or_none(descriptor)))

    def set_err(self, descriptor: int | None) -> None:
        checked(lib.cursor_queue_set_fd(self._cursor, lib.QUEUE_ERR, _or_none(descriptor)))

    # --- the resources that can become a cursor

    def add_image(self, resource_id: int, width: int, height: int, descriptor: int) -> None:
        """The descriptor is borrowed, until the image is removed or all are forgotten."""
        checked(lib.cursor_image_add(self._cursor, resource_id, width, height, descriptor))

    def add_blob(self, resource_id: int, entries: bytes) -> None:
        """Adds a guest blob with backing (virtio_gpu_mem_entry); one that is too small for a cursor
        is ignored.
        """
        count = len(entries) // MEMORY_ENTRY_BYTES
        result = lib.cursor_blob_add(self._cursor, resource_id, entries, count)
        if result != -errno.EINVAL:
            checked(result)

    def remove_image(self, resource_id: int) -> None:
        """Removes a resource, which may never have been added: 3D resources are not."""
        lib.cursor_image_remove(self._cursor, resource_id)

    def reset(self) -> None:
        """Forgets all images and shows nothing: the device was reset."""
        lib.cursor_reset(self._cursor)

    # --- the task

    async def run(
        self,
        find_image: Callable[[int], Awaitable[None]],
        on_broken: Callable[[str], object],
    ) -> None:
        """Works on the queue until it is cancelled.

        ``find_image`` waits until everything that the device process has sent about its resources
        so far has come to :meth:`add_image`: the driver may use a resource that was made a moment
        ago.
        """
        while True:
            await self._wait()
            await self._work(find_image, on_broken)

    async def _work(
        self,
        find_image: Callable[[int], Awaitable[None]],
        on_broken: Callable[[str], object],
    ) -> None:
        resource_id = ffi.new("uint32_t *")
        while (result := lib.cursor_run(self._cursor, resource_id)) != lib.CURSOR_IDLE:
            if result in _BROKEN:
                on_broken(_BROKEN[result])
                return
            if result == lib.CURSOR_UNKNOWN_IMAGE:
                await find_image(int(resource_id[0]))
            else:
                await trio.lowlevel.checkpoint()

    def _look(self) -> None:
        """Has the task look at the queue next, with or without a kick."""
        self._looked = False
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait(self) -> None:
        with trio.CancelScope() as self._waiting:
            if self._looked:
                await self._wait_for_kick()
        self._waiting = None
        self._looked = True

    async def _wait_for_kick(self) -> None:
        kick = int(lib.cursor_queue_kick_fd(self._cursor))
        if kick == -1:
            await trio.sleep(POLLING_INTERVAL if self._started else float("inf"))
        else:
            await trio.lowlevel.wait_readable(kick)


def _or_none(descriptor: int | None) -> int:
    return -1 if descriptor is None else descriptor
