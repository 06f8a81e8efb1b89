# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Who is killed when a command waits for somebody who executes Vulkan, and when."""

from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from vgpud.link.messages import ContextCreated
from vgpud.session.vulkan_losses import VulkanLosses
from vgpud.session.vulkan_watch import VulkanWatch
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_CMD_CTX_CREATE,
    VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
    VIRTIO_GPU_CMD_RESOURCE_FLUSH,
)

SECONDS = 3.0
VIRGL2, VENUS = 2, 4


class Scene:
    """A device process and its session, as far as they are looked at."""

    def __init__(self) -> None:
        self.progress = 1
        self.command = (0, 0)
        self.contexts = [ContextCreated(1, VIRGL2, "glxgears"), ContextCreated(7, VENUS, "vkcube")]
        self.killed: list[tuple[float, object]] = []
        self.losses = VulkanLosses()

    def kill_worker(self, ctx_id: int) -> None:
        self.killed.append((trio.current_time(), ctx_id))

    def kill_server(self) -> None:
        self.killed.append((trio.current_time(), "server"))

    async def watched(self, seconds: float) -> list[object]:
        """Who was killed, after so long."""
        scene = cast(Any, self)
        with trio.move_on_after(seconds):
            await VulkanWatch(scene, scene, scene, self.losses, SECONDS).run()
        return [who for _, who in self.killed]


async def test_a_worker_first_and_then_the_server(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.command = (VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, 7)
    begin = trio.current_time()
    assert await scene.watched(20) == [7, "server"]
    first, then = (when - begin for when, _ in scene.killed)
    assert SECONDS <= first <= 1.5 * SECONDS
    assert 2 * SECONDS <= then <= 2.5 * SECONDS
    reason = "context 7 (vkcube) did not answer within 3 s"
    assert scene.losses.reported() == (1, 0, reason)
    # Why it was killed says more than by what.
    scene.losses.server_ended("SIGKILL")
    reason = "command 0x010c waited for the render server"
    assert scene.losses.reported() == (1, 1, reason)
    scene.losses.server_ended("SIGSEGV")
    assert scene.losses.reported() == (1, 2, "the render server ended with SIGSEGV")


async def test_a_context_that_cannot_be_made_is_the_server_s_fault(
    autojump_clock: MockClock,
) -> None:
    scene = Scene()
    scene.contexts = []
    scene.command = (VIRTIO_GPU_CMD_CTX_CREATE, 8)
    assert await scene.watched(20) == ["server"]


@pytest.mark.parametrize(
    "command",
    [
        (0, 7),
        (VIRTIO_GPU_CMD_RESOURCE_FLUSH, 0),
        (VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, 1),
    ],
    ids=["at rest", "what draws by OpenGL", "a context of OpenGL"],
)
async def test_who_does_not_wait_for_vulkan_harms_nobody(
    autojump_clock: MockClock, command: tuple[int, int]
) -> None:
    scene = Scene()
    scene.command = command
    assert await scene.watched(60) == []


async def test_many_commands_one_after_the_other_are_no_long_one(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.command = (VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, 7)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.watched, 30)
        for _ in range(100):
            await trio.sleep(0.25)
            scene.progress += 1
        nursery.cancel_scope.cancel()
    assert scene.killed == []
