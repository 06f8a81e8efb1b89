# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A device on the fake data plane, with the daemon's end of its link in the test's hand."""

import socket
from typing import Any

from vgpud.device.dataplane import EXIT_COMMAND, Exit
from vgpud.device.device import Device
from vgpud.device.dispatch import dispatch
from vgpud.device.link_requests import handle
from vgpud.device.renderers import renderer_class
from vgpud.link import messages
from vgpud.link.connection import Connection
from vgpud.wire import virtio_gpu as wire
from vgpud.wire.layout import pack

from .fake_plane import FakePlane

LIMITS = messages.Limits(
    image_bytes=1 << 30,
    resources=8,
    contexts=3,
    backing_entries=16,
    request_bytes=1 << 20,
    submit_bytes=1 << 20,
    blob_bytes=32 << 20,
)


class Bench:
    """Commands and requests go in; responses are ``plane.responses``, messages ``told()``."""

    def __init__(self, mode: str = "2d", **limits: int) -> None:
        self.start = messages.Start(
            renderer=messages.RendererOptions(mode),
            limits=LIMITS._replace(**limits),
            num_scanouts=2,
            displays=(messages.DisplaySize(1280, 800), messages.DisplaySize(640, 480)),
        )
        renderer = renderer_class(mode)
        self.plane = FakePlane(renderer.draws, self.start.limits, self.start.num_scanouts)
        device, daemon = socket.socketpair()
        self.daemon = Connection(daemon.detach(), messages.FROM_DEVICE)
        self.link = Connection(device.detach())
        self.device = Device(
            self.plane, self.link, renderer(self.plane, self.start.renderer), self.start
        )
        self._chain = 0

    def close(self) -> None:
        self.plane.close()
        self.daemon.close()
        self.link.close()

    def send(self, data: bytes) -> int:
        """Gives the device the bytes of a request; returns the chain."""
        self._chain += 1
        dispatch(self.device, Exit(EXIT_COMMAND, 0, self._chain, data, 1 << 20))
        return self._chain

    def command(
        self, type: int, structure: tuple[Any, ...] = (), rest: bytes = b"", ctx_id: int = 0
    ) -> int | None:
        """The response's type, or None when the command is not answered yet."""
        header = wire.virtio_gpu_ctrl_hdr(type, ctx_id=ctx_id)
        body = pack(structure) if structure else b""
        chain = self.send(pack(header) + body + rest)
        answered = [response for response in self.plane.responses if response[0] == chain]
        return answered[0][1] if answered else None

    def body(self) -> bytes:
        """What follows the header of the last response."""
        return self.plane.responses[-1][2]

    def request(self, message: messages.Message, descriptors: tuple[int, ...] = ()) -> Any:
        """The reply to a message of the daemon."""
        handle(self.device, message, list(descriptors))
        *_, reply = self.told()
        return reply

    def told(self) -> list[messages.Message]:
        """What the device has said on the link since the last call; what came with it is closed."""
        received: list[messages.Message] = []
        self.daemon.drain(lambda message, descriptors: received.append(message))
        return received
