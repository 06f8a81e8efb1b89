# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The guest's resources and contexts, as far as Python needs to know them.

Images, backing and scanouts are the data plane's; here is what decides to whom a command belongs.
"""

import os
from enum import Enum
from typing import NamedTuple

from vgpud.errors import GuestError
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
    VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
    VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
)


class Kind(Enum):
    """Which command created the resource."""

    IMAGE_2D = "2D"
    IMAGE_3D = "3D"
    BLOB = "blob"


class Resource(NamedTuple):
    """A resource of the guest; ``uuid`` is 16 bytes, or empty before it was assigned."""

    resource_id: int
    kind: Kind
    uuid: bytes = b""


class Resources:
    """The resources by their numbers."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._resources: dict[int, Resource] = {}

    def __len__(self) -> int:
        return len(self._resources)

    def __contains__(self, resource_id: int) -> bool:
        return resource_id in self._resources

    def get(self, resource_id: int) -> Resource:
        """The resource; ``GuestError`` when there is none of that number."""
        resource = self._resources.get(resource_id)
        if resource is None:
            raise GuestError(
                VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, f"there is no resource {resource_id}"
            )
        return resource

    def check_new(self, resource_id: int) -> None:
        """``GuestError`` when no resource of this number can be created."""
        if resource_id == 0 or resource_id in self._resources:
            text = f"resource {resource_id} exists already" if resource_id else "resource 0"
            raise GuestError(VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, text)
        if len(self._resources) >= self._limit:
            raise GuestError(
                VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY, f"more than {self._limit} resources"
            )

    def add(self, resource_id: int, kind: Kind) -> None:
        """Records a resource that has been created."""
        self._resources[resource_id] = Resource(resource_id, kind)

    def remove(self, resource_id: int) -> None:
        """Forgets a resource that has been destroyed."""
        del self._resources[resource_id]

    def set_uuid(self, resource_id: int, uuid: bytes) -> None:
        """Records a resource's UUID, 16 bytes."""
        self._resources[resource_id] = self.get(resource_id)._replace(uuid=uuid)

    def clear(self) -> None:
        """Forgets all of them."""
        self._resources.clear()


class Contexts:
    """The numbers of the 3D contexts that there are."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._contexts: set[int] = set()

    def check(self, ctx_id: int) -> None:
        """``GuestError`` when there is no such context."""
        if ctx_id not in self._contexts:
            raise GuestError(
                VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID, f"there is no context {ctx_id}"
            )

    def check_new(self, ctx_id: int) -> None:
        """``GuestError`` when no context of this number can be created."""
        if ctx_id == 0 or ctx_id in self._contexts:
            raise GuestError(
                VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID, f"context {ctx_id} cannot be created"
            )
        if len(self._contexts) >= self._limit:
            raise GuestError(VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY, f"more than {self._limit} contexts")

    def add(self, ctx_id: int) -> None:
        """Records a context that has been created."""
        self._contexts.add(ctx_id)

    def remove(self, ctx_id: int) -> None:
        """Forgets a context that has been destroyed."""
        self._contexts.remove(ctx_id)

    def clear(self) -> None:
        """Forgets all of them."""
        self._contexts.clear()


def new_uuid() -> bytes:
    """A random UUID (RFC 4122, version 4), without the import of ``uuid``."""
    value = bytearray(os.urandom(16))
    value[6] = value[6] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    return bytes(value)
