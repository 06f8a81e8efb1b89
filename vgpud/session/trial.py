# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A trial: a device process that serves nobody and shows whether the renderer starts, before
readiness is reported.
"""

import socket

import trio

from vgpud.config.schema import Config
from vgpud.errors import RendererError
from vgpud.link import messages
from vgpud.link.codec import LinkClosedError
from vgpud.link.trio_connection import RequestFailedError, TrioConnection
from vgpud.modes import wants_render_server
from vgpud.session.devices import Devices, device_process, has_server
from vgpud.session.session_state import SessionState
from vgpud.session.start_up import start_message

SECONDS = 30.0


async def try_renderer(config: Config, devices: Devices) -> str:
    """What the renderer calls itself; ``RendererError`` when it does not start."""
    state = SessionState()
    # Nobody reads the presenter's end.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with ours, theirs:
            return await _start(config, devices, (state.descriptor, theirs.fileno()))
    finally:
        state.close()


async def _start(config: Config, devices: Devices, descriptors: tuple[int, int]) -> str:
    # What is raised inside a nursery leaves it in a group.
    found: messages.Started | RendererError | None = None
    vulkan = wants_render_server(config.renderer.mode, config.renderer.capsets)
    async with device_process(devices, vulkan) as process, trio.open_nursery() as nursery:
        nursery.start_soon(process.link.run, _ignore)
        with trio.move_on_after(SECONDS):
            server = vulkan and await has_server(process)
            found = await _ask(process.link, start_message(config, server), descriptors)
        nursery.cancel_scope.cancel()
    if found is None:
        raise RendererError(f"the renderer did not start within {SECONDS:g} s")
    if isinstance(found, RendererError):
        raise found
    return found.description


async def _ask(
    link: TrioConnection, start: messages.Start, descriptors: tuple[int, int]
) -> messages.Started | RendererError:
    try:
        return await link.request(start, messages.Started, descriptors)
    except LinkClosedError:
        return RendererError("the device process ended when it was started")
    except RequestFailedError as error:
        if isinstance(error.reply, messages.Failed):
            return RendererError(error.reply.reason, error.reply.exit_code)
        return RendererError(f"the device process answered {error.reply}")


async def _ignore(report: messages.Report, descriptors: list[int]) -> None:
    """A trial takes no reports."""
