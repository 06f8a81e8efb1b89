# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the data plane does for the virglrenderer mode alone; as everywhere there, an error is an OSError."""

from typing import Any

from vgpud.device.dataplane import DataPlane
from vgpud.native import checked, ffi, lib
from vgpud.wire.virtio_gpu import virtio_gpu_resource_create_3d


class VirglPlane:
    """Contexts and 3D resources of a device that draws with libvirglrenderer."""

    def __init__(self, plane: DataPlane, virgl: Any) -> None:
        """``virgl``: what ``VirglLibrary.pointer`` is."""
        self._device = plane.native_device
        checked(lib.device_set_virgl(self._device, virgl))

    def export_buffers(self, told: bool) -> None:
        """Shows resources from their DMA buffers; ``told``: what cannot be shown so is logged, once."""
        checked(lib.device_export_buffers(self._device, int(told)))

    def resource_create_3d(self, command: virtio_gpu_resource_create_3d) -> None:
        resource = ffi.new("struct resource_3d *", command[:-1])
        checked(lib.resource_create_3d(self._device, resource))

    def context_create(self, ctx_id: int, context_init: int, debug_name: bytes) -> None:
        """``context_init``: the number of a capset, or 0."""
        checked(lib.context_create(self._device, ctx_id, context_init, debug_name, len(debug_name)))

    def context_destroy(self, ctx_id: int) -> None:
        checked(lib.context_destroy(self._device, ctx_id))

    def context_attach_resource(self, ctx_id: int, resource_id: int) -> None:
        checked(lib.context_attach_resource(self._device, ctx_id, resource_id))

    def context_detach_resource(self, ctx_id: int, resource_id: int) -> None:
        checked(lib.context_detach_resource(self._device, ctx_id, resource_id))
