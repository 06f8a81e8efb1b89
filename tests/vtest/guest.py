# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A virtio-gpu driver with one context, whose resources' backing is shared memory that a vtest client has mapped."""

import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from tests.driver import commands, commands_3d
from tests.driver.commands_3d import Resource3D
from tests.driver.frontend import QEMU_FEATURES, Feature, Frontend
from tests.driver.gpu import Guest
from tests.driver.memory import PAGE, GuestMemory, MiB, Region
from tests.vtest import native

CTX_ID = 1
ARENA = 48 * MiB
# As QEMU has it for a device that offers VIRGL.
CONTROL_QUEUE_SIZE = 256
# Guest addresses of the resources' memory; each has a slot of its own in the memory table.
SHARED_BASE = 1 << 40
USER_OFFSET = 1 << 42
# Of the memory table's slots the guest's own memory has one.
MAX_SHARED = 500
# Buffers beyond that which can do with a copy, in rooms of their own (mirror.h): VIRGL_BIND_VERTEX_BUFFER, INDEX, CONSTANT.
MIRRORED_BINDS = (1 << 4, 1 << 5, 1 << 6)
MIRROR_BYTES, MIRRORS = 1 * MiB, 1000
# Pages that are not touched cost nothing.
OWN_MEMORY = ARENA + 8 * MiB + MIRROR_BYTES * MIRRORS


class DeviceError(Exception):
    """The device did not do what a vtest server would have done."""


@dataclass
class Shared:
    """Memory that a client draws from: a memfd, and the device's region of it, or where its copy is."""

    fd: int
    region: Region | None
    mirror: int = 0


def _memory(size: int, name: str) -> int:
    """The descriptor of new shared memory of ``size`` bytes."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return fd


class Driver:
    """One virtual machine: its own connection to the backend, so its own device process.

    ``mirrored``: every buffer that can do with a copy has one, not only those that find no slot.
    """

    def __init__(self, backend: Path, client: socket.socket, *, mirrored: bool = False) -> None:
        self.mirrored = mirrored
        features = QEMU_FEATURES | Feature.VIRGL
        self.frontend = Frontend.connect(backend, wanted_features=features, timeout=30)
        self.memory = GuestMemory(OWN_MEMORY)
        self.guest = Guest(self.memory, control_size=CONTROL_QUEUE_SIZE)
        self.display, theirs = socket.socketpair()
        self.frontend.start(self.memory, self.guest.queues, theirs)
        if Feature.VIRGL not in self.frontend.features:
            raise DeviceError("the backend does not offer VIRGL")
        self.shared: dict[int, Shared] = {}
        self.next_address = SHARED_BASE
        self.free_slots = MAX_SHARED
        rooms = self.memory.allocate(MIRROR_BYTES * MIRRORS, PAGE)
        self.free_rooms = [rooms + number * MIRROR_BYTES for number in range(MIRRORS)]
        self.fence_fd = _memory(PAGE, "vtest-fences")
        module = native.load()
        self.ffi, self.lib = module.ffi, module.lib
        self.bridge = self.ffi.gc(self.lib.bridge_new(self._config(client)), self.lib.bridge_free)

    def _config(self, client: socket.socket) -> object:
        region, control = self.memory.regions[0], self.guest.control
        self._view = self.ffi.from_buffer(region.view)
        config = self.ffi.new("struct bridge_config *")
        config.client_fd = client.fileno()
        config.memory = self.ffi.cast("uint8_t *", self._view)
        config.guest_address, config.memory_bytes = region.guest_address, region.size
        config.descriptor = control.ring.descriptor
        config.available, config.used = control.ring.available, control.ring.used
        config.queue_size = CONTROL_QUEUE_SIZE
        config.kick_fd, config.call_fd = control.kick_fd, control.call_fd
        config.arena, config.arena_bytes = self.memory.allocate(ARENA, PAGE), ARENA
        config.ctx_id, config.fence_fd = CTX_ID, self.fence_fd
        return config

    def close(self) -> None:
        self.frontend.close()
        self.display.close()
        for shared in self.shared.values():
            os.close(shared.fd)
        os.close(self.fence_fd)

    def run(self) -> tuple[int, int] | None:
        """Serves the client until a message comes that is not of every frame: its length and command; None at the end."""
        length, command = self.ffi.new("uint32_t *"), self.ffi.new("uint32_t *")
        if not self._checked(self.lib.bridge_run(self.bridge, length, command)):
            return None
        return int(length[0]), int(command[0])

    def errors(self) -> tuple[int, int]:
        """How many commands failed, and the response to the last of them."""
        last = self.ffi.new("uint32_t *")
        return int(self.lib.bridge_errors(self.bridge, last)), int(last[0])

    # --- commands

    def post(self, request: bytes) -> None:
        """A command whose response nobody waits for."""
        self._checked(self.lib.bridge_post(self.bridge, request, len(request)))

    def ask(self, request: bytes, response_length: int = commands.HEADER_SIZE) -> commands.Response:
        """A command and its response."""
        room = self.ffi.new("uint8_t[]", response_length)
        count = self.lib.bridge_ask(self.bridge, request, len(request), room, response_length)
        return commands.read_response(bytes(self.ffi.buffer(room)), self._checked(count))

    def wait(self) -> None:
        """Until everything is answered."""
        self._checked(self.lib.bridge_wait(self.bridge))

    def _checked(self, result: int) -> int:
        if result < 0:
            raise DeviceError(os.strerror(-result))
        return result

    def capset(self, capset_id: int) -> bytes:
        """The data of a capability set; nothing when the device has it not."""
        for index in range(8):
            answer = self.ask(commands.get_capset_info(index), commands.CAPSET_INFO_SIZE)
            if not answer.ok:
                break
            found, version, size = struct.unpack_from("<III", answer.data)
            if found == capset_id:
                request = commands.get_capset(capset_id, version)
                return self.ask(request, commands.HEADER_SIZE + size).data
        return b""

    def create_context(self, name: bytes) -> None:
        answer = self.ask(commands_3d.ctx_create(CTX_ID, name[:64]))
        if not answer.ok:
            raise DeviceError(f"CTX_CREATE was answered with {answer.type:#x}")

    # --- resources

    def create(self, resource_id: int, resource: Resource3D, data_size: int) -> int:
        """Makes a resource with shared memory of ``data_size`` bytes; its descriptor, or -1 without."""
        self.post(commands_3d.resource_create_3d(resource_id, resource))
        fd = self._back(resource_id, resource, data_size) if data_size else -1
        self.post(commands_3d.ctx_attach_resource(CTX_ID, resource_id))
        return fd

    def _back(self, resource_id: int, resource: Resource3D, data_size: int) -> int:
        # At once, as a vtest server does it: streams too can move data between a resource and its memory.
        size = -(-data_size // PAGE) * PAGE
        shared = Shared(_memory(size, "vtest-resource"), None)
        self.shared[resource_id] = shared
        can_mirror = resource.bind in MIRRORED_BINDS and size <= MIRROR_BYTES and self.free_rooms
        if self.free_slots and not (self.mirrored and can_mirror):
            address = self._add_region(shared, size)
        elif can_mirror:
            shared.mirror = address = self.free_rooms.pop()
            self._checked(
                self.lib.bridge_mirror(self.bridge, resource_id, shared.fd, address, size)
            )
        else:
            raise DeviceError(f"the client has more than {MAX_SHARED} resources with memory")
        self.post(commands.resource_attach_backing(resource_id, [(address, size)]))
        return shared.fd

    def _add_region(self, shared: Shared, size: int) -> int:
        self.free_slots -= 1
        address = self.next_address
        shared.region = self.memory.add(
            address, size, fd=shared.fd, user_address=address + USER_OFFSET
        )
        self.next_address += size + PAGE
        self.frontend.add_region(shared.region)
        return address

    def unref(self, resource_id: int) -> None:
        shared = self.shared.pop(resource_id, None)
        if shared is not None:
            self.post(commands.resource_detach_backing(resource_id))
        self.post(commands_3d.ctx_detach_resource(CTX_ID, resource_id))
        self.post(commands.resource_unref(resource_id))
        if shared is not None:
            self.wait()
            self._release(resource_id, shared)

    def _release(self, resource_id: int, shared: Shared) -> None:
        if shared.region is not None:
            self.frontend.remove_region(shared.region)
            self.memory.remove(shared.region)
            self.free_slots += 1
        else:
            self.lib.bridge_forget_mirror(self.bridge, resource_id)
            self.free_rooms.append(shared.mirror)
        os.close(shared.fd)
