# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The native presenter as the session sees it, and the task in which it runs."""

import errno
import os
from collections.abc import Callable
from enum import IntEnum

import trio

from vgpud.native import checked, ffi, lib, made


class PresenterExit(IntEnum):
    """Why the presenter has stopped running; it may be run again after each."""

    STOPPED = lib.PRESENTER_STOPPED
    DISPLAY_CLOSED = lib.PRESENTER_DISPLAY_CLOSED
    SOURCE_CLOSED = lib.PRESENTER_SOURCE_CLOSED
    SOURCE_BROKEN = lib.PRESENTER_SOURCE_BROKEN


class NotSentError(Exception):
    """There is no display, or it has not read the earlier messages."""


class Presenter:
    """``pointer`` is for the native cursor.  Descriptors passed in are duplicated."""

    def __init__(self) -> None:
        self.pointer = made(lib.presenter_new())

    def close(self) -> None:
        """Must not be called while :meth:`run` runs."""
        lib.presenter_free(self.pointer)

    def set_source(self, descriptor: int | None) -> None:
        """Sets the present channel of a device process; what the previous process wanted to show is
        dropped.
        """
        checked(lib.presenter_set_source(self.pointer, _or_none(descriptor)))

    def set_display(self, descriptor: int | None, replies: int | None = None) -> None:
        """Sets the display socket.  It knows nothing yet: ask the device process to repaint after
        this. The previous one is shut down, unless it is the same.

        With ``replies``, a stream socket, the presenter also reads the display socket and passes on
        what comes there, except a display's answers to frames in DMA buffers.
        """
        checked(
            lib.presenter_connect(self.pointer, _or_none(descriptor), _or_none(replies)),
        )

    def post(self, message: bytes) -> None:
        """Sends a whole message of the display protocol, soon; ``NotSentError``."""
        result = lib.presenter_post(self.pointer, message, len(message))
        if -result in (errno.ENOTCONN, errno.ENOBUFS):
            raise NotSentError(os.strerror(-result))
        checked(result)

    def counters(self) -> dict[str, int]:
        """What was sent to displays: frames, those in DMA buffers, and bytes."""
        presented = ffi.new("struct presented *")
        lib.presenter_count(self.pointer, presented)
        return {
            "updates": int(presented.updates),
            "dmabuf_updates": int(presented.dmabuf_updates),
            "bytes": int(presented.bytes),
        }

    def add_viewer(self, channel: int, panorama_max: int) -> None:
        """Adds a viewer, by a view channel, until that is shut down or its other end closed; the
        panorama takes at most ``panorama_max`` bytes.  Ask the device process to repaint after
        this.
        """
        checked(lib.presenter_add_viewer(self.pointer, channel, panorama_max))

    def forget_cursors(self) -> None:
        """The device was reset: no cursor is shown any more."""
        lib.presenter_forget_cursors(self.pointer)

    async def run(self, on_exit: Callable[[PresenterExit], None]) -> None:
        """Presents until it is cancelled; ``on_exit`` is told of everything else in between. Runs
        in a thread of its own, in which the native code never holds the interpreter.  Cancelling shuts down
        the display socket, the only thing that the thread may wait for.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_when_cancelled)
            with trio.CancelScope(shield=True):
                await self._run_until_stopped(on_exit)
            nursery.cancel_scope.cancel()

    async def _run_until_stopped(self, on_exit: Callable[[PresenterExit], None]) -> None:
        # Not from the shared pool: this thread stays as long as the session.
        limiter = trio.CapacityLimiter(1)
        while True:
            reason = PresenterExit(
                await trio.to_thread.run_sync(lib.presenter_run, self.pointer, limiter=limiter)
            )
            if reason is PresenterExit.STOPPED:
                return
            on_exit(reason)

    async def _stop_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            lib.presenter_stop(self.pointer)


def _or_none(descriptor: int | None) -> int:
    return -1 if descriptor is None else descriptor
