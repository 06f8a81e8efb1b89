# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What renderers with a 3D library have in common: a 2D resource stays an image until a context may
touch it.
"""

from vgpud.device.renderers.interface import Capset, Group
from vgpud.device.renderers.offered import Offered
from vgpud.device.renderers.software_2d import Software2D
from vgpud.wire.virtio_gpu import VIRTIO_GPU_F_CONTEXT_INIT, VIRTIO_GPU_F_VIRGL


class Library3D(Software2D):
    """``offered`` are the capability sets, as guests see them."""

    device_features = (
        Software2D.device_features | 1 << VIRTIO_GPU_F_VIRGL | 1 << VIRTIO_GPU_F_CONTEXT_INIT
    )
    groups = frozenset(Group)
    uses_drivers = True
    offered: tuple[Offered, ...] = ()

    @property
    def capsets(self) -> tuple[Capset, ...]:
        return tuple(one.capset for one in self.offered)

    def capset(self, capset_id: int) -> bytes:
        return next(one.data for one in self.offered if one.capset.capset_id == capset_id)
