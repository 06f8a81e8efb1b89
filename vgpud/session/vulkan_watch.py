# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Finds a process that executes Vulkan and hangs, by the command that waits for it, and has it
killed before the device process is suspected. The library has no time-outs: if a worker does not
answer, it blocks the queue's thread for ever.
"""

import trio
from loguru import logger

from vgpud.modes import CAPSETS
from vgpud.session.devices import DeviceProcess
from vgpud.session.journal import Journal
from vgpud.session.session_state import SessionState
from vgpud.session.vulkan_losses import VulkanLosses
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_CMD_CTX_CREATE,
    VIRTIO_GPU_CMD_CTX_DESTROY,
    VIRTIO_GPU_CMD_RESOURCE_UNREF,
)

# How often to look, within the time that a command may take, while there are contexts.
LOOKS = 4
# Commands that may wait for the server, or for a worker whose context they do not name.
OF_NOBODY = {VIRTIO_GPU_CMD_CTX_CREATE, VIRTIO_GPU_CMD_CTX_DESTROY, VIRTIO_GPU_CMD_RESOURCE_UNREF}
VENUS = CAPSETS["venus"].capset_id


class VulkanWatch:
    """Watches one device process, in which a command may take ``seconds``."""

    def __init__(
        self,
        process: DeviceProcess,
        state: SessionState,
        journal: Journal,
        losses: VulkanLosses,
        seconds: float,
    ) -> None:
        self._process = process
        self._state = state
        self._journal = journal
        self._losses = losses
        self._seconds = seconds
        self._seen: tuple[int, int, int] | None = None
        self._since = 0.0
        self._suspected = 0
        """How many processes were killed because of this command: a worker, then the server."""

    async def run(self) -> None:
        """Never returns."""
        while True:
            await trio.sleep(self._seconds / LOOKS if self._contexts() else self._seconds)
            self._look()

    def _contexts(self) -> dict[int, str]:
        """Names, by numbers."""
        return {
            one.ctx_id: one.debug_name for one in self._journal.contexts if one.capset_id == VENUS
        }

    def _look(self) -> None:
        seen = self._state.progress, *self._state.command
        if seen != self._seen:
            self._seen, self._since, self._suspected = seen, trio.current_time(), 0
        _, command, ctx_id = seen
        waited = trio.current_time() - self._since
        if command and waited >= self._seconds * (self._suspected + 1):
            self._suspect(command, ctx_id)

    def _suspect(self, command: int, ctx_id: int) -> None:
        name = self._contexts().get(ctx_id)
        if name is not None and self._suspected == 0:
            logger.error(
                "context {context} ({name}) does not answer within {seconds:g} s: its process is "
                "killed, and what it has drawn is lost",
                context=ctx_id,
                name=name,
                seconds=self._seconds,
            )
            self._losses.worker_killed(
                f"context {ctx_id} ({name}) did not answer within {self._seconds:g} s"
            )
            self._process.kill_worker(ctx_id)
            self._suspected = 1
        elif (name is not None or command in OF_NOBODY) and self._suspected < 2:
            logger.error(
                "command {command:#06x} waits for the render server: the server is killed, and "
                "what was drawn with Vulkan is lost",
                command=command,
            )
            self._losses.server_killed(f"command {command:#06x} waited for the render server")
            self._process.kill_server()
            self._suspected = 2
