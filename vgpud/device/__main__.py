# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m vgpud.device --link-fd N``: started by the daemon alone, which speaks to it on the
link.
"""

import resource
import select
import sys
from collections.abc import Callable
from functools import partial

from vgpud.device.confinement import ConfinementError, confine_calls, confine_files
from vgpud.device.dataplane import DataPlane, follow_parent
from vgpud.device.device import Device
from vgpud.device.link_requests import handle
from vgpud.device.loop import run
from vgpud.device.renderers import renderer_class
from vgpud.errors import EXIT_INTERNAL, EXIT_OK, RendererError
from vgpud.link.codec import LinkClosedError, LinkError
from vgpud.link.connection import Connection
from vgpud.link.messages import Failed, Log, Message, Start, Started


def main(arguments: list[str]) -> int:
    """Returns the process's exit code."""
    if len(arguments) != 2 or arguments[0] != "--link-fd" or not arguments[1].isdigit():
        sys.stderr.write("vgpud.device: it is vgpud that starts this program\n")
        return EXIT_INTERNAL
    follow_parent()
    _allow_many_descriptors()
    try:
        return serve(Connection(int(arguments[1])))
    except LinkClosedError:
        return EXIT_OK


def serve(link: Connection) -> int:
    """Waits for the daemon to describe a device and runs it; returns only when it cannot be made."""
    device: Device | None = None

    def receive(message: Message, descriptors: list[int]) -> None:
        nonlocal device
        if device is not None:
            handle(device, message, descriptors)
        elif isinstance(message, Start):
            # The renderer starts with the files that it needs, and then opens no socket any more.
            open_doors = _confined(partial(confine_files, message.renderer.gpu_device))
            device = _make_device(link, message, descriptors)
            open_doors += _confined(confine_calls)
            link.send(_started(device, message.serial))
            for door in open_doors:
                link.send(Log("WARNING", f"the device process is not confined in full: {door}"))
            for warning in device.renderer.warnings:
                link.send(Log("WARNING", warning))
        else:
            raise LinkError(f"the link begins with {type(message).__name__}")

    poll = select.poll()  # select() knows no descriptor above 1023
    poll.register(link, select.POLLIN)
    try:
        while device is None:
            poll.poll()
            link.drain(receive)
    except RendererError as error:
        return error.exit_code
    return run(device)


def _confined(confine: Callable[[], None]) -> list[str]:
    """What is missing, which is no reason not to serve: not every kernel has everything."""
    try:
        confine()
    except ConfinementError as error:
        return [str(error)]
    return []


def _started(device: Device, serial: int) -> Started:
    renderer = device.renderer
    return Started(len(renderer.capsets), renderer.device_features, renderer.description, serial)


def _make_device(link: Connection, start: Start, descriptors: list[int]) -> Device:
    state_fd, present_fd = descriptors
    try:
        renderer = renderer_class(start.renderer.mode)
        plane = DataPlane(
            renderer.native_renderer,
            start.limits,
            start.num_scanouts,
            link.fileno(),
            state_fd,
            present_fd,
        )
        return Device(plane, link, renderer(plane, start.renderer), start)
    except OSError as error:
        failure = RendererError(f"the device cannot be made: {error}", EXIT_INTERNAL)
    except RendererError as error:
        failure = error
    link.send(Failed(str(failure), failure.exit_code, start.serial))
    raise failure


def _allow_many_descriptors() -> None:
    """Each image is a descriptor: as many as the administrator allows, not as many as is customary."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
