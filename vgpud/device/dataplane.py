# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The native device as Python sees it: an error is an OSError, a structure a named tuple.

Resources, contexts and UUIDs are only in the native device's tables.
"""

import errno
from typing import Any, NamedTuple

from vgpud.link.memory_table import MemoryTable
from vgpud.link.messages import Limits, QueueConfig
from vgpud.native import checked, ffi, lib, made
from vgpud.wire.virtio_gpu import (
    virtio_gpu_resource_create_3d,
    virtio_gpu_resource_create_blob,
    virtio_gpu_set_scanout_blob,
)

EXIT_COMMAND: int = lib.EXIT_COMMAND
EXIT_LINK: int = lib.EXIT_LINK
EXIT_QUEUE_BROKEN: int = lib.EXIT_QUEUE_BROKEN
EXIT_MEMORY_FAULT: int = lib.EXIT_MEMORY_FAULT

UUID_BYTES = 16

_QUEUE_DESCRIPTORS = {"kick": lib.QUEUE_KICK, "call": lib.QUEUE_CALL, "err": lib.QUEUE_ERR}


def queue_error_text(error: int) -> str:
    """What is wrong with a queue that ``run`` has reported as broken."""
    text = ffi.string(lib.queue_error_text(error)).decode()
    return str(text)


def null_library() -> Any:
    """A library that accepts everything and draws nothing."""
    return made(lib.null_library_open())


class Exit(NamedTuple):
    """Why ``run`` returned.

    ``error``, for EXIT_QUEUE_BROKEN, is for ``queue_error_text``.  The others are for EXIT_COMMAND:
    ``chain`` is for the command's answer, and ``response_length`` is the room for it, in bytes.
    """

    reason: int
    error: int
    chain: int
    request: bytes
    response_length: int


class BlobFile(NamedTuple):
    """A part of a file, in bytes and whole pages; ``map_info`` is VIRTIO_GPU_MAP_CACHE_*."""

    descriptor: int
    offset: int
    length: int
    map_info: int


class Picture(NamedTuple):
    """What a scanout shows of a host blob, in an image of that size; the native device keeps the
    descriptor.
    """

    image_id: int
    width: int
    height: int
    descriptor: int


class DataPlane:
    """Guest memory, the control queue, resources, contexts and scanouts.

    There is one, which lives as long as its process: nothing of it is ever freed. Every method may
    raise OSError, with the errno that the header of the native function gives: ENOENT for a
    resource that does not exist, ESRCH for a context, ENODEV for a scanout, EEXIST and EALREADY for
    a number that is not free for a resource or a context, ENOMEM for a quota.
    """

    def __init__(
        self,
        draws: bool,
        limits: Limits,
        num_scanouts: int,
        link_fd: int,
        state_fd: int,
        present_fd: int,
    ) -> None:
        """``draws``: images have pixels, and are presented.  Descriptors are duplicated; -1 for none."""
        self._memory = made(lib.guest_memory_new())
        self._device = made(
            lib.device_new(
                self._memory,
                made(lib.session_state_map(state_fd)),
                link_fd,
                present_fd,
                int(draws),
                _structure("struct device_limits *", limits),
                num_scanouts,
            )
        )
        self._exit = ffi.new("struct device_exit *")

    def run(self) -> Exit:
        """Works on the queue until there is something for Python; waits without the interpreter
        lock.
        """
        checked(lib.device_run(self._device, self._exit))
        out = self._exit
        length = out.request_length if out.reason == EXIT_COMMAND else 0
        request = ffi.unpack(ffi.cast("char *", out.request), length) if length else b""
        return Exit(out.reason, out.error, out.chain, request, out.response_length)

    def respond(self, chain: int, response: bytes) -> None:
        """Answers a command; what does not fit into the guest's buffer is cut off."""
        checked(lib.device_respond(self._device, chain, response, len(response)))

    def set_library(self, library: Any) -> None:
        """Draws with a library (``struct gpu_library``), which must outlive this; called once,
        before anything else.
        """
        checked(lib.device_set_library(self._device, library))

    def export_buffers(self, told: bool) -> None:
        """Shows resources from their DMA buffers; ``told``: log once what cannot be shown in that
        way.
        """
        checked(lib.device_export_buffers(self._device, int(told)))

    # --- the queue

    def queue_start(
        self, config: QueueConfig, base: int, recover: bool, kick: int, call: int, err: int
    ) -> None:
        """Starts the control queue; a descriptor of -1 is absent."""
        native = _structure("struct virtqueue_config *", config)
        checked(lib.device_queue_start(self._device, native, base, kick, call, err, int(recover)))

    def queue_stop(self) -> int:
        """Stops the control queue and answers what was pending; returns the base to go on from."""
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
        """A copy of the memory table, to be changed."""
        return MemoryTable(self._memory)

    def memory_bytes(self) -> int:
        """How much of the address space guest memory takes."""
        return int(lib.guest_memory_bytes(self._memory))

    def memory_set_logging(self, enabled: bool) -> None:
        lib.guest_memory_set_logging(self._memory, int(enabled))

    def lost_backings(self) -> int:
        """How many backings were lost by changes of memory since the last call."""
        return checked(lib.device_lost_backings(self._device))

    # --- resources and scanouts

    def resource_is_blob(self, resource_id: int) -> bool:
        """Whether it is a guest blob."""
        return checked(lib.resource_kind(self._device, resource_id)) == int(lib.RESOURCE_BLOB)

    def resource_is_host_blob(self, resource_id: int) -> bool:
        return checked(lib.resource_kind(self._device, resource_id)) == int(lib.RESOURCE_HOST_BLOB)

    def resource_create_2d(self, resource_id: int, format: int, width: int, height: int) -> None:
        checked(lib.resource_create_2d(self._device, resource_id, format, width, height))

    def resource_create_3d(self, command: virtio_gpu_resource_create_3d) -> None:
        resource = ffi.new("struct resource_3d *", command[:-1])
        checked(lib.resource_create_3d(self._device, resource))

    def resource_create_blob(self, resource_id: int, size: int) -> None:
        """Creates a guest blob of ``size`` bytes, which has no backing yet."""
        checked(lib.resource_create_blob(self._device, resource_id, size))

    def resource_adopt_blob(self, resource_id: int, size: int) -> None:
        checked(lib.resource_adopt_blob(self._device, resource_id, size))

    def has_host_blobs(self) -> bool:
        """Whether the library makes blobs that can be mapped elsewhere."""
        return bool(lib.device_has_host_blobs(self._device))

    def resource_create_host_blob(
        self, ctx_id: int, command: virtio_gpu_resource_create_blob, entries: bytes
    ) -> None:
        """Creates a blob of the library, by a context; ``entries`` is the guest's part of it."""
        blob = ffi.new(
            "struct host_blob *",
            {
                "resource_id": command.resource_id,
                "ctx_id": ctx_id,
                "blob_mem": command.blob_mem,
                "blob_flags": command.blob_flags,
                "blob_id": command.blob_id,
                "size": command.size,
            },
        )
        checked(lib.resource_create_host_blob(self._device, blob, entries, command.nr_entries))

    def resource_adopt_host_blob(self, resource_id: int, size: int) -> None:
        """Adds a host blob whose memory is lost."""
        checked(lib.resource_adopt_host_blob(self._device, resource_id, size))

    def host_blob_export(self, resource_id: int) -> BlobFile:
        """The file of a host blob; the caller owns its descriptor."""
        file = ffi.new("struct blob_file *")
        checked(lib.host_blob_export(self._device, resource_id, file))
        return BlobFile(file.fd, file.offset, file.length, file.map_info)

    def resource_adopt_2d(
        self, resource_id: int, format: int, width: int, height: int, image_fd: int
    ) -> None:
        checked(lib.resource_adopt_2d(self._device, resource_id, format, width, height, image_fd))

    def resource_image_fd(self, resource_id: int) -> int:
        """The descriptor of the image, which the native device keeps."""
        return checked(lib.resource_image_fd(self._device, resource_id))

    def resource_has_image(self, resource_id: int) -> bool:
        """Whether it has an image; a resource of the renderer has none before it is shown."""
        return int(lib.resource_image_fd(self._device, resource_id)) >= 0

    def resource_unref(self, resource_id: int) -> None:
        checked(lib.resource_unref(self._device, resource_id))

    def resource_attach_backing(self, resource_id: int, entries: bytes, nr_entries: int) -> None:
        checked(lib.resource_attach_backing(self._device, resource_id, entries, nr_entries))

    def resource_detach_backing(self, resource_id: int) -> None:
        checked(lib.resource_detach_backing(self._device, resource_id))

    def resource_uuid(self, resource_id: int) -> bytes:
        """16 bytes, or none before it was given one."""
        uuid = ffi.new("uint8_t[]", UUID_BYTES)
        result = lib.resource_uuid(self._device, resource_id, uuid)
        if result == -errno.ENODATA:
            return b""
        checked(result)
        return bytes(uuid)

    def resource_set_uuid(self, resource_id: int, uuid: bytes) -> None:
        """``uuid``: 16 bytes; EINVAL otherwise."""
        if len(uuid) != UUID_BYTES:
            raise OSError(errno.EINVAL, f"a UUID of {len(uuid)} bytes")
        checked(lib.resource_set_uuid(self._device, resource_id, uuid))

    def scanout_set(
        self, scanout_id: int, resource_id: int, x: int, y: int, width: int, height: int
    ) -> None:
        """Shows a rectangle of a resource; ``resource_id`` 0 disables the scanout."""
        checked(lib.scanout_set(self._device, scanout_id, resource_id, x, y, width, height))

    def scanout_set_blob(self, command: virtio_gpu_set_scanout_blob) -> None:
        """Shows a rectangle of a picture in a blob; EIO: it is lost, EOPNOTSUPP: it cannot be
        read.
        """
        shown = ffi.new(
            "struct surface_state *",
            {
                "resource_id": command.resource_id,
                **command.r._asdict(),
                "surface_width": command.width,
                "surface_height": command.height,
                "format": command.format,
                "stride": command.strides[0],
                "offset": command.offsets[0],
            },
        )
        checked(lib.scanout_set_blob(self._device, command.scanout_id, shown))

    def scanouts_with_pictures(self) -> int:
        """A bit for each scanout that shows a host blob."""
        return int(lib.scanouts_with_pictures(self._device))

    def scanout_picture(self, scanout_id: int) -> Picture:
        """The picture of a scanout that shows a host blob."""
        found = ffi.new("struct scanout_picture *")
        checked(lib.scanout_picture(self._device, scanout_id, found))
        return Picture(found.image_id, found.width, found.height, found.fd)

    def scanout_adopt_picture(
        self, scanout_id: int, width: int, height: int, image_fd: int
    ) -> None:
        checked(lib.scanout_adopt_picture(self._device, scanout_id, width, height, image_fd))

    # --- contexts

    def context_create(self, ctx_id: int, capset_id: int, debug_name: bytes) -> None:
        """``capset_id`` 0: the library's choice."""
        checked(lib.context_create(self._device, ctx_id, capset_id, debug_name, len(debug_name)))

    def context_destroy(self, ctx_id: int) -> None:
        checked(lib.context_destroy(self._device, ctx_id))

    def context_attach_resource(self, ctx_id: int, resource_id: int) -> None:
        checked(lib.context_attach_resource(self._device, ctx_id, resource_id))

    def context_detach_resource(self, ctx_id: int, resource_id: int) -> None:
        checked(lib.context_detach_resource(self._device, ctx_id, resource_id))

    # --- what is shown

    def scanout_read_back(self, scanout_id: int) -> None:
        """Brings what was drawn to where screenshots are taken from, if no flush has done so."""
        checked(lib.scanout_read_back(self._device, scanout_id))

    def repaint(self) -> None:
        lib.device_repaint(self._device)

    def show_pixels(self, pixels: bool) -> None:
        """Presents everything again, and from now on as pixels if ``pixels``."""
        lib.device_show_pixels(self._device, int(pixels))

    def reset(self) -> None:
        lib.device_reset(self._device)


def _structure(kind: str, values: NamedTuple) -> Any:
    """A native structure, from those fields of the named tuple that it has too."""
    structure = ffi.new(kind)
    fields = {name for name, _ in ffi.typeof(structure).item.fields}
    for name, value in values._asdict().items():
        if name in fields:
            setattr(structure, name, value)
    return structure
