# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A machine whose guest has one cross-domain context, as a proxy for Wayland programs has it."""

from pathlib import Path
from typing import Self

from . import commands, commands_3d, rutabaga
from .backend import Machine
from .commands import ResponseType
from .frontend import GENERIC_FEATURES, QEMU_PROTOCOL, Feature, Protocol
from .memory import PAGE, Scattered
from .processes import wait_until
from .queue import Pending
from .rutabaga import CHANNEL_RING, CROSS_DOMAIN, WAYLAND
from .shared_region import SharedRegion

OK = ResponseType.OK_NODATA
CTX, RING, CHANNEL, IMAGE, KEYMAP = 1, 101, 102, 103, 104
"""Numbers of the context and of resources."""


class CrossDomainMachine:
    """``query`` and ``channel`` are the context's rings; the VMM has host-visible memory, ``region``."""

    def __init__(self, socket_path: Path) -> None:
        self.connected = Machine(
            socket_path,
            frontend={
                "wanted_features": GENERIC_FEATURES | Feature.VIRGL | Feature.CONTEXT_INIT,
                "wanted_protocol": QEMU_PROTOCOL | Protocol.SHMEM,
            },
        )
        self.guest = self.connected.guest
        self.region = SharedRegion(self.connected.frontend)
        self.region.__enter__()
        self.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.region.__exit__(None, None, None)
        self.connected.close()

    def begin(self) -> None:
        """A context, and what it has in any case."""
        self.do(commands_3d.ctx_create(CTX, context_init=CROSS_DOMAIN))
        self.query, self.channel = self._ring(RING), self._ring(CHANNEL)

    def end(self) -> None:
        """What ``begin`` has made goes."""
        self.do(commands_3d.ctx_destroy(CTX), *map(commands.resource_unref, (RING, CHANNEL)))

    def ask(self, request: bytes, length: int = commands.HEADER_SIZE) -> int:
        return self.guest.ask(request, length).type

    def do(self, *requests: bytes) -> None:
        for request in requests:
            assert self.ask(request) == OK

    def _ring(self, number: int) -> Scattered:
        entries = [(self.connected.memory.allocate(PAGE, PAGE), PAGE)]
        self.do(
            commands.resource_create_blob(number, PAGE, entries, blob_flags=1),
            commands_3d.ctx_attach_resource(CTX, number),
        )
        return Scattered(self.connected.memory, entries)

    def submit(self, stream: bytes) -> int:
        return self.ask(commands_3d.submit_3d(CTX, stream))

    def connect(self) -> int:
        return self.submit(rutabaga.init(RING, CHANNEL, WAYLAND))

    def poll(self) -> Pending:
        """A fence that passes when the compositor has said something."""
        request = commands_3d.submit_3d(CTX, rutabaga.poll(), 8, CHANNEL_RING)
        return self.guest.submit(request, commands.HEADER_SIZE)

    def image(self, width: int = 64, height: int = 64) -> rutabaga.Requirements:
        """Makes one, which the context has."""
        assert self.submit(rutabaga.image_requirements(width, height)) == OK
        image = rutabaga.requirements(self.query.read(0, PAGE))
        self.do(
            commands.create_host_blob(IMAGE, image.size, CTX, image.blob_id),
            commands_3d.ctx_attach_resource(CTX, IMAGE),
        )
        return image

    def map(self, number: int) -> int:
        """Into the beginning of the host-visible memory; the descriptor that its VMM has."""
        request = commands.resource_map_blob(number)
        assert self.ask(request, commands.MAP_INFO_SIZE) == ResponseType.OK_MAP_INFO
        assert wait_until(lambda: 0 in self.region.windows)
        return self.region.windows[0].fd
