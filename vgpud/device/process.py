# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device process, forked by the spawner for one session, which speaks to it over the link."""

from select import POLLIN, poll

from vgpud.device.dataplane import DataPlane
from vgpud.device.device import Device
from vgpud.device.link_requests import handle
from vgpud.device.loop import run
from vgpud.device.renderers import renderer_class
from vgpud.device.renderers.interface import Renderer, Server
from vgpud.errors import EXIT_INTERNAL, EXIT_OK, RendererError
from vgpud.link.codec import LinkClosedError
from vgpud.link.connection import Connection
from vgpud.link.fields import LinkError
from vgpud.link.messages import Failed, Log, Message, Start, Started
from vgpud.tree.life import end_with
from vgpud.walls import landlock, missing, seccomp


def main(link: int, life: int, server: int = -1) -> int:
    """Serves the session at the other end of the ``link``; the process's exit status.

    ``server`` is a render server's socket, -1: there is none.  When the session closes the other
    end of the pipe ``life``, or dies, the kernel kills this process.
    """
    end_with(life)
    try:
        return serve(Connection(link), server)
    except LinkClosedError:
        return EXIT_OK


def serve(link: Connection, server: int) -> int:
    """Waits for the session to describe a device, and runs it; returns only when it cannot be
    made.
    """
    device: Device | None = None

    def receive(message: Message, descriptors: list[int]) -> None:
        nonlocal device
        if device is not None:
            handle(device, message, descriptors)
        elif isinstance(message, Start):
            device, open_doors = _make_confined(link, message, descriptors, server)
            link.send(_started(device, message.serial))
            for door in open_doors:
                link.send(Log("WARNING", f"the device process is not confined in full: {door}"))
            for warning in device.renderer.warnings:
                link.send(Log("WARNING", warning))
        else:
            raise LinkError(f"the link begins with {type(message).__name__}")

    try:
        waiting = poll()  # select() takes no descriptor above 1023
        waiting.register(link.fileno(), POLLIN)
        while device is None:
            waiting.poll()
            link.drain(receive)
    except RendererError as error:
        return error.exit_code
    return run(device)


def _make_confined(
    link: Connection, start: Start, descriptors: list[int], server: int
) -> tuple[Device, list[str]]:
    """A device, and what is missing in its walls."""
    try:
        renderer = renderer_class(start.renderer.mode)
    except RendererError as error:
        raise _told(link, start, error) from None
    # Done before the list of calls is in force: a connection to a window system needs a socket.
    if renderer.uses_drivers:
        open_doors = missing(landlock.confine_to_graphics, start.renderer.gpu_device)
        device = _make_device(link, start, descriptors, renderer, server)
        if device.renderer.executes_vulkan and start.vulkan_memory:
            # Images have a limit of their own.
            device.address_space.bound(start.vulkan_memory + start.limits.image_bytes)
        calls = "wayland" if start.renderer.wayland else "graphics"
        return device, open_doors + missing(seccomp.confine, calls)
    open_doors = missing(landlock.confine_to_programs)
    device = _make_device(link, start, descriptors, renderer, server)
    return device, open_doors + missing(seccomp.confine, "device")


def _started(device: Device, serial: int) -> Started:
    renderer = device.renderer
    capsets = tuple(capset.capset_id for capset in renderer.capsets)
    return Started(
        capsets,
        renderer.device_features,
        renderer.description,
        renderer.host_blobs,
        serial,
    )


def _make_device(
    link: Connection,
    start: Start,
    descriptors: list[int],
    renderer: type[Renderer],
    server: int,
) -> Device:
    state_fd, present_fd = descriptors
    try:
        plane = DataPlane(
            renderer.draws,
            start.limits,
            start.num_scanouts,
            link.fileno(),
            state_fd,
            present_fd,
        )
        return Device(
            plane, link, renderer(plane, start.renderer, Server(server, start.vulkan)), start
        )
    except OSError as error:
        failure = RendererError(f"the device cannot be made: {error}", EXIT_INTERNAL)
    except RendererError as error:
        failure = error
    raise _told(link, start, failure)


def _told(link: Connection, start: Start, failure: RendererError) -> RendererError:
    link.send(Failed(str(failure), failure.exit_code, start.serial))
    return failure
