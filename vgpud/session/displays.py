# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The display that the front-end gives, replaces or takes away, and what answers without one."""

import socket
from collections.abc import Callable
from contextlib import ExitStack

import trio
from loguru import logger

from vgpud.config.schema import Config
from vgpud.control.protocol import ControlError
from vgpud.display.headless import HeadlessDisplay, Size
from vgpud.display.presenter import Presenter, PresenterExit
from vgpud.display.socket import DisplaySocket
from vgpud.link import rights
from vgpud.modes import MODES
from vgpud.session.reports import Display
from vgpud.vhost_user.descriptors import stream_socket


class Displays:
    """``current`` answers the guest's questions.  ``on_broken`` is called when a device process has
    broken the rules of its present channel.
    """

    def __init__(self, config: Config, presenter: Presenter, on_broken: Callable[[], None]) -> None:
        self._configured = HeadlessDisplay(
            [(one.width, one.height) for one in config.displays],
            [number for number, one in enumerate(config.displays) if not one.connected],
        )
        self.current: Display = self._configured
        self._headless = config.display.headless
        # Negotiated before the first frame: a DMA buffer may need a modifier, which not every
        # display accepts.
        self._negotiates = (
            MODES[config.renderer.mode].exports and config.display.transport != "pixels"
        )
        self._presenter = presenter
        self._on_broken = on_broken
        self._end_current = trio.CancelScope()
        self._nursery: trio.Nursery | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a display socket."""
        return self.current is not self._configured

    @property
    def outputs(self) -> list[Size | None] | None:
        """The size of each output's display in pixels; None when the front-end decides."""
        return None if self.connected else self._configured.outputs

    def set_output(self, scanout_id: int, size: Size | None) -> None:
        """Plugs a display in, replaces or removes it; ``ControlError`` when the front-end decides
        that.
        """
        if self.connected:
            raise ControlError(
                "the front-end decides which displays this machine has, by its windows;"
                " start "
                "vgpud with --headless to decide it here"
            )
        try:
            self._configured.set_output(scanout_id, size)
        except IndexError:
            count = self._configured.num_scanouts
            raise ControlError(
                f"there is no output {scanout_id}: this machine connected with {count},"
                " as many "
                f"as [[displays]] in the configuration"
            ) from None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Presents, and serves one display socket after another."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await self._presenter.run(self._on_exit)

    def _on_exit(self, reason: PresenterExit) -> None:
        if reason is PresenterExit.SOURCE_BROKEN:
            logger.error("a device process breaks the present channel's rules")
            self._on_broken()

    async def set_socket(self, descriptors: list[int]) -> bool:
        """GPU_SET_SOCKET: takes the descriptor; false when nothing is to be shown there."""
        descriptor = descriptors.pop()
        if self._headless or self._nursery is None:
            rights.close([descriptor])
            return False
        self._end_current.cancel()
        if isinstance(self.current, DisplaySocket):
            # Closed at once: questions that wait must not go to the next display.
            self.current.close()
        with stream_socket(descriptor) as end:
            display = DisplaySocket(self._connect(end), self._presenter.post)
        self._end_current = trio.CancelScope()
        self.current = display
        self._nursery.start_soon(self._serve, display, self._end_current)
        return True

    def _connect(self, end: socket.socket) -> socket.socket:
        """The socket on which replies come: only the presenter reads and writes ``end``, and passes
        them on.
        """
        with ExitStack() as unless_connected:
            replies, theirs = socket.socketpair()
            unless_connected.enter_context(replies)
            with theirs:
                self._presenter.set_display(end.fileno(), theirs.fileno())
            unless_connected.pop_all()
        return replies

    async def _serve(self, display: DisplaySocket, scope: trio.CancelScope) -> None:
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    if self._negotiates:
                        nursery.start_soon(display.negotiate)
                    await display.run()
                logger.debug("the display has gone")
        finally:
            if self.current is display:
                self.current = self._configured
                self._presenter.set_display(None)
            display.close()
