# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a device process has made, so that the next can go on with it. A guest may have taken the
process over.  So what it says is bounded here by the same limits that it has to keep itself.
"""

import os
from collections.abc import Iterator, Set
from itertools import islice
from typing import NamedTuple

from vgpud.config.schema import MAX_SCANOUTS, MAX_U32
from vgpud.link.fields import LinkError
from vgpud.link.messages import (
    AdoptBacking,
    AdoptBlob,
    AdoptHostBlob,
    AdoptPicture,
    AdoptResource,
    AdoptResource3D,
    AdoptUuid,
    BackingAttached,
    BackingDetached,
    BlobCreated,
    CapsetAsked,
    ContextCreated,
    ContextGone,
    HostBlobCreated,
    ImageMade,
    Limits,
    PictureGone,
    PictureMade,
    Request,
    Resource3DCreated,
    ResourceCreated,
    ResourceGone,
    UuidAssigned,
)
from vgpud.link.messages import Journal as Entry
from vgpud.native import ffi, lib
from vgpud.tree.messages import ResourceUse

BLOCK_BYTES = 512  # of stat(2)
UNCOUNTED = (1 << 64) - 1
DEBUG_NAME_CHARACTERS = 64  # of struct virtio_gpu_ctx_create
MEMORY_ENTRY_BYTES = 16  # sizeof(struct virtio_gpu_mem_entry)
UUID_BYTES = 16
MAX_U64 = (1 << 64) - 1
CAPSETS_MAX = 64  # as many bits as the numbers of capability sets have in Linux' masks
CURSOR_SIDE = 64  # of a cursor's resource (VIRTIO 1.2, 5.7.6.10)


AnyBlob = BlobCreated | HostBlobCreated
Created = ResourceCreated | Resource3DCreated | AnyBlob


class Blob(NamedTuple):
    """A guest blob of ``size`` bytes; ``entries`` is an array of virtio_gpu_mem_entry, empty when nothing backs it."""

    size: int
    entries: bytes


class _Resource:
    """``image`` is a descriptor.  It is None for a blob, which has no image, and for a resource
    that only the renderer has, until its process makes one to show it.  ``lost``: the process that
    made it has died.
    """

    def __init__(self, created: Created, image: int | None) -> None:
        self.created = created
        self.image = image
        self.entries = b""
        self.uuid = b""
        self.lost = False

    @property
    def blob_bytes(self) -> int:
        """The size of a host blob of the current process, as the guest states it."""
        return (
            self.created.size if isinstance(self.created, HostBlobCreated) and not self.lost else 0
        )


class _Picture(NamedTuple):
    made: PictureMade
    image: int


class Journal:
    """Owns the images' descriptors."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._resources: dict[int, _Resource] = {}
        self._pictures: dict[int, _Picture] = {}
        self._entry_bytes = 0
        self._blob_bytes = 0
        self._contexts: dict[int, ContextCreated] = {}
        self._capsets_asked: set[int] = set()
        self.contexts_made = 0

    def __len__(self) -> int:
        return len(self._resources)

    def image(self, resource_id: int) -> tuple[tuple[int, int], int] | None:
        """The size of a resource's image in pixels, and its descriptor, which the journal keeps;
        None when the resource has none.
        """
        resource = self._resources.get(resource_id)
        if resource is None or resource.image is None or isinstance(resource.created, AnyBlob):
            return None
        return (resource.created.width, resource.created.height), resource.image

    def picture(self, scanout_id: int) -> tuple[tuple[int, int], int] | None:
        """Likewise, for what a scanout shows of a host blob, whichever process has made it."""
        picture = self._pictures.get(scanout_id)
        if picture is None:
            return None
        return (picture.made.width, picture.made.height), picture.image

    def blob(self, resource_id: int) -> Blob | None:
        """None when the resource is not a guest blob."""
        resource = self._resources.get(resource_id)
        if resource is None or not isinstance(resource.created, BlobCreated):
            return None
        return Blob(resource.created.size, resource.entries)

    def is_host_blob(self, resource_id: int) -> bool:
        resource = self._resources.get(resource_id)
        return resource is not None and isinstance(resource.created, HostBlobCreated)

    @property
    def backing_entries(self) -> int:
        """Pieces of guest memory that back all resources."""
        return self._entry_bytes // MEMORY_ENTRY_BYTES

    @property
    def blob_bytes(self) -> int:
        """The size of all host blobs that are not lost, as the guest states it."""
        return self._blob_bytes

    @property
    def contexts(self) -> list[ContextCreated]:
        """The contexts that exist, as the device process says."""
        return list(self._contexts.values())

    @property
    def capsets_asked(self) -> list[int]:
        """The capability sets that the guest has got since it started."""
        return sorted(self._capsets_asked)

    def resources(self, most: int) -> list[ResourceUse]:
        """A description of each resource, at most ``most``."""
        return [
            _use(number, resource) for number, resource in islice(self._resources.items(), most)
        ]

    def record(self, entry: Entry, descriptors: list[int]) -> None:
        """Notes what happened; ``LinkError`` when it cannot have happened."""
        if isinstance(entry, Created):
            self._created(entry, descriptors)
            return
        if isinstance(entry, ContextCreated | ContextGone):
            self._record_context(entry)
            return
        if isinstance(entry, CapsetAsked):
            self._record_capset(entry)
            return
        if isinstance(entry, PictureMade | PictureGone):
            self._record_picture(entry, descriptors)
            return
        resource = self._resources.get(entry.resource_id)
        if resource is None:
            raise LinkError(f"{type(entry).__name__} of {entry.resource_id}, which does not exist")
        if isinstance(entry, ResourceGone):
            self._forget(entry.resource_id)
        elif isinstance(entry, UuidAssigned):
            self._set_uuid(resource, entry)
        elif isinstance(entry, ImageMade):
            self._set_image(resource, descriptors)
        else:
            self._set_entries(resource, entry)

    def _created(self, entry: Created, descriptors: list[int]) -> None:
        if entry.resource_id in self._resources or len(self) >= self._limits.resources:
            raise LinkError(f"resource {entry.resource_id} was created again, or is one too many")
        if not _possible(entry):
            raise LinkError(f"no guest can have created {entry}")
        if isinstance(entry, HostBlobCreated):
            self._add_blob(entry.size)
        image = descriptors.pop() if isinstance(entry, ResourceCreated) else None
        self._resources[entry.resource_id] = _Resource(entry, image)

    def _add_blob(self, size: int) -> None:
        if self._blob_bytes + size > self._limits.blob_bytes:
            raise LinkError("more host blobs were created than a device may have")
        self._blob_bytes += size

    def _record_context(self, entry: ContextCreated | ContextGone) -> None:
        if isinstance(entry, ContextGone):
            self._contexts.pop(entry.ctx_id, None)
            return
        if entry.ctx_id not in self._contexts and len(self._contexts) >= self._limits.contexts:
            raise LinkError(f"context {entry.ctx_id} is one too many")
        name = entry.debug_name[:DEBUG_NAME_CHARACTERS]
        self._contexts[entry.ctx_id] = entry._replace(debug_name=name)
        self.contexts_made += 1

    def _record_capset(self, entry: CapsetAsked) -> None:
        if entry.capset_id >= CAPSETS_MAX:
            raise LinkError(f"there is no capability set {entry.capset_id}")
        self._capsets_asked.add(entry.capset_id)

    def _record_picture(self, entry: PictureMade | PictureGone, descriptors: list[int]) -> None:
        if max(entry) > MAX_U32 or entry.scanout_id >= MAX_SCANOUTS:
            raise LinkError(f"no scanout can show {entry}")
        self._drop_picture(entry.scanout_id)
        if isinstance(entry, PictureMade):
            self._pictures[entry.scanout_id] = _Picture(entry, descriptors.pop())

    def _drop_picture(self, scanout_id: int) -> None:
        picture = self._pictures.pop(scanout_id, None)
        if picture is not None:
            os.close(picture.image)

    def _set_entries(self, resource: _Resource, entry: BackingAttached | BackingDetached) -> None:
        entries = entry.entries if isinstance(entry, BackingAttached) else b""
        total = self._entry_bytes + len(entries) - len(resource.entries)
        if total > self._limits.backing_entries * MEMORY_ENTRY_BYTES:
            raise LinkError("more backing was attached than a device may have")
        self._entry_bytes = total
        resource.entries = entries

    def _set_image(self, resource: _Resource, descriptors: list[int]) -> None:
        if not isinstance(resource.created, Resource3DCreated):
            raise LinkError(
                "this resource has its image from the start, or is a blob, which has none"
            )
        self._drop_image(resource)
        resource.image = descriptors.pop()

    def _set_uuid(self, resource: _Resource, entry: UuidAssigned) -> None:
        if len(entry.uuid) != UUID_BYTES:
            raise LinkError(f"a UUID of {len(entry.uuid)} bytes")
        resource.uuid = entry.uuid

    def _forget(self, resource_id: int) -> None:
        resource = self._resources.pop(resource_id)
        self._entry_bytes -= len(resource.entries)
        self._blob_bytes -= resource.blob_bytes
        self._drop_image(resource)

    def _drop_image(self, resource: _Resource) -> None:
        if resource.image is not None:
            os.close(resource.image)
            resource.image = None

    def _forget_process(self) -> None:
        """Forgets what has died with a device process."""
        self._contexts.clear()
        self._blob_bytes = 0
        for resource in self._resources.values():
            resource.lost = True
            if not isinstance(resource.created, ResourceCreated):
                self._drop_image(resource)

    def forget_pixels(self, shown: Set[int]) -> int:
        """Gives back the pixels of all images, except of resources that are ``shown`` or may be a
        cursor; returns how many.
        """
        images = [
            resource.image
            for number, resource in self._resources.items()
            if resource.image is not None
            and number not in shown
            and not _may_be_cursor(resource.created)
        ]
        return sum(lib.image_forget_pixels(image) == 0 for image in images)

    def replay(self) -> Iterator[tuple[Request, list[int]]]:
        """What the next device process has to be told, with descriptors that the journal keeps.
        That process starts without contexts, without images of the renderer's resources, and without the
        memory of host blobs.
        """
        self._forget_process()
        for resource_id, resource in self._resources.items():
            yield from _adopt(resource)
            if resource.entries:
                yield AdoptBacking(resource_id, resource.entries), []
            if resource.uuid:
                yield AdoptUuid(resource_id, resource.uuid), []
        # What the process then sends may remove some of them.
        for made, image in list(self._pictures.values()):
            yield AdoptPicture(*made), [image]

    def clear(self) -> None:
        """The device was reset, or is not needed any more."""
        for resource_id in list(self._resources):
            self._forget(resource_id)
        for scanout_id in list(self._pictures):
            self._drop_picture(scanout_id)
        self._contexts.clear()
        self._capsets_asked.clear()
        self.contexts_made = 0


def _possible(created: Created) -> bool:
    if isinstance(created, AnyBlob):
        return created.resource_id <= MAX_U32 and 0 < created.size <= MAX_U64
    return max(created) <= MAX_U32


def _may_be_cursor(created: Created) -> bool:
    return (
        isinstance(created, ResourceCreated) and max(created.width, created.height) <= CURSOR_SIDE
    )


def _use(resource_id: int, resource: _Resource) -> ResourceUse:
    created, size = resource.created, _bytes(resource)
    if isinstance(created, BlobCreated):
        return ResourceUse(resource_id, "blob", 0, 0, 0, 0, True)
    if isinstance(created, HostBlobCreated):
        return ResourceUse(resource_id, "host blob", 0, 0, 0, resource.blob_bytes, True)
    kind = "2d" if isinstance(created, ResourceCreated) else "3d"
    return ResourceUse(
        resource_id,
        kind,
        created.format,
        created.width,
        created.height,
        size or 0,
        size is not None,
    )


def _bytes(resource: _Resource) -> int | None:
    """Host memory of a resource: what its image has allocated, and an estimate of the renderer's
    part; None when there can be no estimate.
    """
    image = 0 if resource.image is None else os.fstat(resource.image).st_blocks * BLOCK_BYTES
    if not isinstance(resource.created, Resource3DCreated):
        return image
    count = int(lib.resource_3d_bytes(ffi.new("struct resource_3d *", resource.created._asdict())))
    return None if count == UNCOUNTED else image + count


def _adopt(resource: _Resource) -> Iterator[tuple[Request, list[int]]]:
    if isinstance(resource.created, Resource3DCreated):
        yield AdoptResource3D(*resource.created), []
    elif isinstance(resource.created, BlobCreated):
        yield AdoptBlob(*resource.created), []
    elif isinstance(resource.created, HostBlobCreated):
        yield AdoptHostBlob(*resource.created), []
    elif resource.image is not None:
        yield AdoptResource(*resource.created), [resource.image]
