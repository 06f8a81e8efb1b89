# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a device process is told when it starts, the first one or a successor."""

import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

from loguru import logger

from vgpud.config.schema import MAX_SCANOUTS, Config
from vgpud.link import messages
from vgpud.link.messages import Limits, Request
from vgpud.link.rights import MAXIMUM_DESCRIPTORS
from vgpud.session.guest_memory import GuestMemory
from vgpud.session.journal import Journal
from vgpud.session.session_state import SessionState
from vgpud.session.shared_memory import SharedMemory
from vgpud.session.vring import DESCRIPTORS, Vring
from vgpud.tree.links import SENT_BYTES

# The room for records that wait to be read; see SENT_BYTES.
PRESENTED_BYTES = 2 * SENT_BYTES


class Parts(NamedTuple):
    """All that lives as long as the front-end's connection.

    ``set_source`` gives the presenter its end of a new present channel, which the caller keeps.
    """

    config: Config
    state: SessionState
    memory: GuestMemory
    journal: Journal
    shared: SharedMemory
    control: Vring
    set_source: Callable[[int], None]

    def start(self, vulkan: bool) -> tuple[messages.Start, tuple[int, int]]:
        """The first message and its descriptors; the caller closes the second one; ``vulkan`` as in
        the message.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PRESENTED_BYTES)
            self.set_source(ours.fileno())
            return start_message(self.config, vulkan), (self.state.descriptor, theirs.detach())

    def forget_unseen(self) -> None:
        """Gives back the memory of images that no scanout shows; otherwise the next process would
        be killed for them too.
        """
        shown = {scanout.resource_id for scanout in self.state.scanouts()}
        forgotten = self.journal.forget_pixels(shown)
        if forgotten:
            logger.warning(
                "{} images that are not shown are black until the guest draws them again", forgotten
            )


def limits(config: Config) -> Limits:
    """The device's quotas."""
    given = config.limits
    return Limits(
        image_bytes=given.image_memory,
        resources=given.resources,
        contexts=given.contexts,
        backing_entries=given.backing_entries,
        request_bytes=given.request_bytes,
        submit_bytes=given.submit_bytes,
        blob_bytes=given.blob_memory,
    )


def start_message(config: Config, vulkan: bool) -> messages.Start:
    """What never changes, and whether there is a render server."""
    renderer = config.renderer
    return messages.Start(
        messages.RendererOptions(
            mode=renderer.mode,
            capsets=renderer.capsets,
            egl=renderer.egl,
            glx=renderer.glx,
            gles=renderer.gles,
            surfaceless=renderer.surfaceless,
            gpu_device=str(renderer.gpu_device or ""),
            transport=config.display.transport,
            wayland=str(renderer.wayland or ""),
        ),
        limits(config),
        num_scanouts(config),
        tuple(
            messages.DisplaySize(one.width, one.height) if one.connected else messages.NO_DISPLAY
            for one in config.displays
        ),
        vulkan,
        config.limits.vulkan_memory,
    )


def num_scanouts(config: Config) -> int:
    """How many scanouts there are; a VMM with displays has its own number, and tells only the
    guest.
    """
    return len(config.displays) if config.display.headless else MAX_SCANOUTS


def start_queue(vring: Vring, recover: bool) -> tuple[messages.StartQueue, list[int]]:
    """The message and its descriptors, which the vring keeps."""
    given = [which for which in DESCRIPTORS if which in vring.descriptors]
    kick, call, err = (which in given for which in DESCRIPTORS)
    message = messages.StartQueue(vring.config, vring.base, recover, kick, call, err)
    return message, [vring.descriptors[which] for which in given]


def everything(parts: Parts) -> Iterator[tuple[Request, list[int]]]:
    """The whole state, each part after what it needs; every descriptor stays with its owner. A
    request has been carried out, or refused, when the next one is taken.
    """
    memory, control = parts.memory, parts.control
    yield messages.SetFeatures(int(control.features), parts.shared.there), []
    yield from _share(memory)
    if memory.log is not None:
        yield messages.SetLog(memory.log.size, memory.log.offset), [memory.log.descriptor]
    yield from parts.journal.replay()
    if control.started:
        yield start_queue(control, recover=control.begun)
        control.begun = True
        yield messages.EnableQueue(control.enabled), []
    yield messages.Repaint(), []


def _share(memory: GuestMemory) -> Iterator[tuple[Request, list[int]]]:
    regions, descriptors = memory.regions, list(memory.descriptors)
    # The kernel takes only so many descriptors at a time, and memory may have more regions.
    whole = MAXIMUM_DESCRIPTORS
    if regions:
        yield messages.SetMemory(regions[:whole]), descriptors[:whole]
    for region, descriptor in zip(regions[whole:], descriptors[whole:], strict=True):
        yield messages.AddMemory(region), [descriptor]
