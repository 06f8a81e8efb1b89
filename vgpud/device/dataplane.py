# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The native device as Python sees it: an error is an OSError, a structure a named tuple.

It is the only module of the device that touches the native module, so that the rest can be tested
without it.
"""

import errno
from typing import Any, NamedTuple

from vgpud.link.memory_table import MemoryTable
from vgpud.link.messages import Limits, QueueConfig
from vgpud.native import checked, ffi, lib, made

RENDERER_NULL: int = lib.RENDERER_NULL
RENDERER_2D: int = lib.RENDERER_2D

EXIT_COMMAND: int = lib.EXIT_COMMAND
EXIT_LINK: int = lib.EXIT_LINK
EXIT_QUEUE_BROKEN: int = lib.EXIT_QUEUE_BROKEN
EXIT_MEMORY_FAULT: int = lib.EXIT_MEMORY_FAULT

_QUEUE_DESCRIPTORS = {"kick": lib.QUEUE_KICK, "call": lib.QUEUE_CALL, "err": lib.QUEUE_ERR}


def queue_error_text(error: int) -> str:
    """What is wrong with a queue that ``run`` has reported as broken."""
    text = ffi.string(lib.queue_error_text(error)).decode()
    return str(text)


class Exit(NamedTuple):
    """Why ``run`` returned; ``chain`` names the command to be answered, for EXIT_COMMAND."""

    reason: int
    error: int
    chain: int
    request: bytes
    response_length: int


class DataPlane:
    """Guest memory, the control queue, images and scanouts.  Every method may raise OSError.

    There is one, which lives as long as its process: nothing of it is ever freed.
    """

    def __init__(
        self,
        renderer: int,
        limits: Limits,
        num_scanouts: int,
        link_fd: int,
        state_fd: int,
        present_fd: int,
    ) -> None:
        self._memory = made(lib.guest_memory_new())
        self._device = made(
            lib.device_new(
                self._memory,
                made(lib.session_state_map(state_fd)),
                link_fd,
                present_fd,
                renderer,
                _structure("struct device_limits *", limits),
                num_scanouts,
            )
        )
        self._exit = ffi.new("struct device_exit *")

    def run(self) -> Exit:
        """Works on the queue until there is something that Python does; blocks without the lock."""
        checked(lib.device_run(self._device, self._exit))
        out = self._exit
        length = out.request_length if out.reason == EXIT_COMMAND else 0
        request = ffi.unpack(ffi.cast("char *", out.request), length) if length else b""
        return Exit(out.reason, out.error, out.chain, request, out.response_length)

    def respond(self, chain: int, response: bytes) -> None:
        """Answers a command; what does not fit into the guest's buffer is cut off."""
        checked(lib.device_respond(self._device, chain, response, len(response)))

    @property
    def native_device(self) -> Any:
        """For a renderer that has more to ask of the data plane than all of them."""
        return self._device

    # --- the queue

    def queue_start(
        self, config: QueueConfig, base: int, recover: bool, kick: int, call: int, err: int
    ) -> None:
        """Starts the control queue; a descriptor of -1 is absent."""
        native = _structure("struct virtqueue_config *", config)
        checked(lib.device_queue_start(self._device, native, base, kick, call, err, int(recover)))

    def queue_stop(self) -> int:
        """Stops the control queue, answering what was pending; returns the base to go on from."""
        base = ffi.new("uint32_t *")
        checked(lib.device_queue_stop(self._device, base))
        return int(base[0])

    def queue_set_enabled(self, enabled: bool) -> None:
        checked(lib.device_queue_set_enabled(self._device, int(enabled)))

    def queue_set_descriptor(self, which: str, descriptor: int) -> None:
        """Replaces the descriptor ``which``: kick, call or err; -1 for none."""
        if which not in _QUEUE_DESCRIPTORS:
            raise OSError(errno.EINVAL, f"a queue has no descriptor {which!r}")
        checked(lib.device_queue_set_fd(self._device, _QUEUE_DESCRIPTORS[which], descriptor))

    # --- guest memory

    def memory_change(self) -> MemoryTable:
        """What guest memory is, to be made into what it is to be."""
        return MemoryTable(self._memory)

    def memory_set_logging(self, enabled: bool) -> None:
        lib.guest_memory_set_logging(self._memory, int(enabled))

    def lost_backings(self) -> int:
        """How many backings changes of memory have cost since this was last asked."""
        return checked(lib.device_lost_backings(self._device))

    # --- resources and scanouts

    def resource_create_2d(self, resource_id: int, format: int, width: int, height: int) -> None:
        checked(lib.resource_create_2d(self._device, resource_id, format, width, height))

    def resource_adopt_2d(
        self, resource_id: int, format: int, width: int, height: int, image_fd: int
    ) -> None:
        checked(lib.resource_adopt_2d(self._device, resource_id, format, width, height, image_fd))

    def resource_image_fd(self, resource_id: int) -> int:
        """The descriptor of the image, which stays the native module's."""
        return checked(lib.resource_image_fd(self._device, resource_id))

    def resource_has_image(self, resource_id: int) -> bool:
        """A renderer's own resource has none before it is shown."""
        return int(lib.resource_image_fd(self._device, resource_id)) >= 0

    def resource_unref(self, resource_id: int) -> None:
        checked(lib.resource_unref(self._device, resource_id))

    def resource_attach_backing(self, resource_id: int, entries: bytes, nr_entries: int) -> None:
        checked(lib.resource_attach_backing(self._device, resource_id, entries, nr_entries))

    def resource_detach_backing(self, resource_id: int) -> None:
        checked(lib.resource_detach_backing(self._device, resource_id))

    def scanout_set(
        self, scanout_id: int, resource_id: int, x: int, y: int, width: int, height: int
    ) -> None:
        """Shows a rectangle of a resource; ``resource_id`` 0 disables the scanout."""
        checked(lib.scanout_set(self._device, scanout_id, resource_id, x, y, width, height))

    def scanout_read_back(self, scanout_id: int) -> None:
        """Brings what a DMA buffer shows into the image of its resource."""
        checked(lib.scanout_read_back(self._device, scanout_id))

    def repaint(self) -> None:
        lib.device_repaint(self._device)

    def reset(self) -> None:
        lib.device_reset(self._device)


def _structure(kind: str, values: NamedTuple) -> Any:
    """A native structure from the named tuple's fields that it has too."""
    structure = ffi.new(kind)
    fields = {name for name, _ in ffi.typeof(structure).item.fields}
    for name, value in values._asdict().items():
        if name in fields:
            setattr(structure, name, value)
    return structure
