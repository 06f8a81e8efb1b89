# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Keeps a device process running for one front-end: starts it, tells it the current state, and
starts the next when it has died.
"""

import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import trio
from loguru import logger

from vgpud.errors import RendererError, first_error
from vgpud.link import messages
from vgpud.link.codec import LinkClosedError
from vgpud.link.fields import LinkError
from vgpud.link.messages import Done, Reply, Request
from vgpud.link.trio_connection import RequestFailedError, TrioConnection
from vgpud.modes import needs_render_server, wants_render_server
from vgpud.session import start_up
from vgpud.session.devices import DeviceProcess, Devices, device_process, has_server
from vgpud.session.restarts import Restarts
from vgpud.session.session_state import SessionState
from vgpud.session.start_up import Parts
from vgpud.session.vulkan_losses import VulkanLosses
from vgpud.session.vulkan_watch import VulkanWatch

# A device process answers between two commands; one that has not answered for this long is stuck.
ANSWER_SECONDS = 10.0
START_SECONDS = 30.0
LOOK_SECONDS = 10.0
IDLE_LOOKS = 4
# If a device process and its render server end within this time, one has ended the other.
TOGETHER_SECONDS = 0.2

UNSEEN = "an unknown status"

ReplyType = TypeVar("ReplyType", bound=Reply)
Report = Callable[[TrioConnection, messages.Report, list[int]], Awaitable[None]]


class Supervisor:
    """Whatever changes is noted in the parts of the session and sent under ``lock``.  If a process
    dies in between, that is no error: its successor is told everything.

    ``restarts`` counts the processes after the first, ``last_reason`` is why the previous one
    ended.
    """

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self.lock = trio.Lock()
        self.restarts = 0
        self.last_reason = ""
        self.vulkan_losses = VulkanLosses()
        self._started: messages.Started | None = None
        self._has_started = trio.Event()
        self._process: DeviceProcess | None = None
        self._given_up = False
        self._fault = ""  # why we have ended the process ourselves
        self._patience = 0.0
        """How long a command may wait for a worker, in seconds; 0 without Vulkan."""
        self._vulkan: bool | None = None
        """Whether the front-end can have Vulkan; None before it has asked for what that needs:
        until then there is no render server.
        """
        self._pixels = False
        self._settled = trio.Event()  # there is a process, or there is none to wait for
        self._revived = trio.Event()

    @property
    def pid(self) -> int | None:
        """The current device process."""
        return self._process.pid if self._process else None

    @property
    def given_up(self) -> bool:
        """Whether there is no process, and none will be started until the guest starts again."""
        return self._given_up

    @property
    def device_features(self) -> int:
        """The VIRTIO_GPU_F_* that the device offers, as far as that is known."""
        return self._started.device_features if self._started else 0

    @property
    def has_vulkan(self) -> bool:
        """Whether it has a render server, or had one."""
        return self._patience > 0

    @property
    def renderer(self) -> str | None:
        """What the first process has said of its renderer, once it has started."""
        return self._started.description if self._started else None

    async def run(self, parts: Parts, report: Report) -> None:
        """Never returns; ``RendererError`` when there cannot be a process at all.

        ``report`` gets what a process sends unasked.
        """
        await self._live(parts, report)
        while True:
            await self._restart(parts, report)
            logger.error("the device is given up until it is reset: its process died too often")
            self._given_up = True
            self._settled.set()
            await self._revived.wait()
            self._given_up = False
            self._settled, self._revived = trio.Event(), trio.Event()
            await self._live_again(parts, report)

    async def _restart(self, parts: Parts, report: Report) -> None:
        """Starts processes as often as is allowed."""
        restarts = Restarts(parts.config.device_process)
        while (delay := restarts.delay()) is not None:
            await trio.sleep(delay)
            await self._live_again(parts, report)

    async def _live_again(self, parts: Parts, report: Report) -> None:
        self.restarts += 1
        try:
            await self._live(parts, report)
        except* (OSError, RendererError) as group:
            self.last_reason = str(first_error(group))
            logger.error("no device process: {}", self.last_reason)
            # It may have started and worked for a while.
            if self._process is not None:
                self._process = None
                self._settled = trio.Event()

    async def _live(self, parts: Parts, report: Report) -> None:
        """Starts one process and serves it until it ends."""
        self._fault = ""
        renderer = parts.config.renderer
        vulkan = self._vulkan is not False and wants_render_server(renderer.mode, renderer.capsets)
        async with device_process(self._devices, vulkan) as process:
            failures: list[RendererError] = []
            with trio.CancelScope() as life:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read, process, report, life)
                    try:
                        nursery.start_soon(self._watch_server, process)
                        nursery.start_soon(self._watch_vulkan, process, parts)
                        await self._bring_up(process, parts)
                        await self._watch(process, parts.state)
                    except RendererError as error:
                        failures.append(error)
                    except (LinkClosedError, RequestFailedError):
                        pass
                    life.cancel()
            self._process = None
            self._settled = trio.Event()
            process.kill()
            ending = await process.ended()
        if failures:
            raise failures[0]
        if self._started is None:
            raise RendererError(
                f"the device process ended with {ending or UNSEEN} when it was started"
            )
        if ending is not None and self._fault:
            # The kernel counts such kills by control group: this one was of another process.
            ending = ending._replace(out_of_memory=False)
        self.last_reason = self._fault or f"ended with {ending or UNSEEN}"
        logger.warning(
            "device process {device_process} ended with {ending}",
            device_process=process.pid,
            ending=ending or UNSEEN,
        )
        if ending is not None and ending.out_of_memory:
            parts.forget_unseen()

    async def _read(self, process: DeviceProcess, report: Report, life: trio.CancelScope) -> None:
        try:
            await process.link.run(partial(report, process.link))
        except LinkError as error:
            self._fault = f"broke the link's rules: {error}"
            logger.error(
                "device process {device_process} breaks the link's rules: {why}",
                device_process=process.pid,
                why=error,
            )
        life.cancel()

    async def _bring_up(self, process: DeviceProcess, parts: Parts) -> None:
        async with self.lock:
            self._patience = 0.0
            vulkan = self._vulkan is True and await has_server(process)
            start, descriptors = parts.start(vulkan)
            try:
                started = await self._ask(
                    process, start, messages.Started, descriptors, START_SECONDS
                )
            except RequestFailedError as error:
                raise _renderer_error(error.reply) from error
            finally:
                os.close(descriptors[1])
            if self._started is None:
                logger.info(
                    "device process {device_process}: {renderer}",
                    device_process=process.pid,
                    renderer=started.description,
                )
                self._started = started
                self._has_started.set()
            for request, belonging in start_up.everything(parts):
                await self._tell_again(process, request, belonging)
            if self._pixels:
                await self._tell_again(process, messages.ShowPixels(True), [])
            self._process = process
            self._settled.set()

    async def _tell_again(
        self, process: DeviceProcess, request: Request, descriptors: Sequence[int]
    ) -> None:
        try:
            await self._ask(process, request, Done, descriptors)
        except RequestFailedError as error:
            # For example backing in a region that has gone since: the device goes on without it.
            logger.info("the next device process refuses: {}", error)

    async def _try_vulkan(self, process: DeviceProcess, started: messages.Started) -> None:
        await has_server(process)
        tried = await self._ask(
            process, messages.TryVulkan(), messages.VulkanTried, seconds=START_SECONDS
        )
        self._started = started._replace(capsets=tried.capsets, description=tried.description)
        if tried.reason:
            self._vulkan = False
            logger.warning("there is no Vulkan: {}", tried.reason)

    async def _watch_server(self, process: DeviceProcess) -> None:
        """Ends the device process when its render server has ended: the library can make no
        contexts then.
        """
        await process.server_started()
        ending = await process.server_ended()
        with trio.move_on_after(TOGETHER_SECONDS):
            # The server ends when nobody is at the other end of its socket.
            await process.ended()
            return
        self.vulkan_losses.server_ended(ending)
        logger.error(
            "the render server ended with {}: what was drawn with Vulkan and OpenGL is lost",
            ending,
        )
        self._fault = f"lost its render server, which ended with {ending}"
        process.kill()

    async def _watch_vulkan(self, process: DeviceProcess, parts: Parts) -> None:
        await process.server_started()
        self._patience = seconds = parts.config.device_process.vulkan_timeout
        watch = VulkanWatch(process, parts.state, parts.journal, self.vulkan_losses, seconds)
        await watch.run()

    async def _watch(self, process: DeviceProcess, state: SessionState) -> None:
        """Asks for a sign of life when there has been none for a while: a command may take too
        long, or a kick may not have been heard.  A machine that stays idle is asked less and less
        often, since each question wakes two processes.
        """
        seen, longer = None, 1
        while True:
            await trio.sleep(LOOK_SECONDS * longer)
            if state.progress == seen:
                await self._ask(process, messages.Ping(), messages.Pong)
                longer = min(2 * longer, IDLE_LOOKS)
            else:
                longer = 1
            seen = state.progress

    async def _ask(
        self,
        process: DeviceProcess,
        request: Request,
        reply: type[ReplyType],
        descriptors: Sequence[int] = (),
        seconds: float | None = None,
    ) -> ReplyType:
        # It may wait for a worker or the render server, which are killed first.
        answer_seconds = ANSWER_SECONDS + 2 * self._patience
        with trio.move_on_after(answer_seconds if seconds is None else seconds):
            return await process.link.request(request, reply, descriptors)
        logger.error(
            "device process {device_process} does not answer {request}",
            device_process=process.pid,
            request=type(request).__name__,
        )
        self._fault = f"did not answer {type(request).__name__}"
        process.kill()
        raise LinkClosedError("killed")

    # --- with the lock

    async def tell(self, request: Request, descriptors: Sequence[int] = ()) -> bool:
        """Has a change carried out that is noted already; OSError when the device refuses it. False
        when there is no process now: the next one will be told.
        """
        if self._process is None:
            return False
        try:
            await self._ask(self._process, request, Done, descriptors)
        except RequestFailedError as error:
            raise _os_error(error.reply) from error
        except LinkClosedError:
            return False
        return True

    # --- without the lock

    async def started(self) -> messages.Started:
        """Waits for what the first device process says of its renderer."""
        while self._started is None:
            await self._has_started.wait()
        return self._started

    async def need_vulkan(self) -> None:
        """Lets the front-end have Vulkan, with this process and each successor; returns when that
        was tried.
        """
        started = await self.started()
        if self._vulkan is not None or not any(map(needs_render_server, started.capsets)):
            return
        self._vulkan = True
        async with self.lock:
            # Otherwise the next process starts with it.
            if self._process is not None:
                with suppress(LinkClosedError, RequestFailedError):
                    await self._try_vulkan(self._process, started)

    async def stop_queue(self) -> int | None:
        """The base from which the control queue can go on, when everything in flight is answered; a
        successor may have to do that.  None when there will be no process.
        """
        while True:
            await self._settled.wait()
            async with self.lock:
                if self._given_up:
                    return None
                if self._process is None:
                    continue
                try:
                    stopped = await self._ask(
                        self._process, messages.StopQueue(), messages.QueueStopped
                    )
                except LinkClosedError:
                    await trio.lowlevel.checkpoint()
                    continue
                except RequestFailedError:
                    return None
                return stopped.base

    async def ping(self) -> None:
        """Waits until everything has been read that the device process has sent so far."""
        if self._process is not None:
            with suppress(LinkClosedError, RequestFailedError):
                await self._ask(self._process, messages.Ping(), messages.Pong)

    async def show_pixels(self, pixels: bool) -> None:
        """Has everything presented again, from now on as pixels, or also in DMA buffers."""
        async with self.lock:
            self._pixels = pixels
            await self.tell(messages.ShowPixels(pixels))

    async def read_back(self, scanout_id: int) -> None:
        """Has a DMA buffer's contents read into the image, if there is a process that can do it."""
        if self._process is not None:
            with suppress(LinkClosedError, RequestFailedError):
                await self._ask(self._process, messages.ReadBack(scanout_id), Done)

    def revive(self) -> None:
        """Allows restarts again: the guest has started again, without what may have killed earlier
        processes.
        """
        if self._given_up:
            self._revived.set()

    def kill(self) -> None:
        """Kills the process; a successor follows."""
        if self._process is not None:
            self._process.kill()


def _renderer_error(reply: Reply) -> RendererError:
    if isinstance(reply, messages.Failed):
        return RendererError(reply.reason, reply.exit_code)
    return RendererError(f"the device process answered {reply}")


def _os_error(reply: Reply) -> OSError:
    code = reply.error if isinstance(reply, messages.Refused) else errno.EIO
    return OSError(code, os.strerror(code))
