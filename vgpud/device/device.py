# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The one device of a device process: what the commands and the session's requests work on."""

import errno

from vgpud.device.address_space import AddressSpace
from vgpud.device.dataplane import DataPlane
from vgpud.device.pictures import Pictures
from vgpud.device.questions import Questions
from vgpud.device.renderers.interface import Capset, Renderer
from vgpud.device.responses import Response
from vgpud.link.connection import Connection
from vgpud.link.limited_log import LimitedLog
from vgpud.link.messages import Log, MemoryFault, Start
from vgpud.modes import needs_shared_memory


class Device:
    """Only the parts; ``commands`` and ``link_requests`` have what is done with them."""

    def __init__(
        self, plane: DataPlane, link: Connection, renderer: Renderer, start: Start
    ) -> None:
        self.plane = plane
        self.address_space = AddressSpace()
        self.link = link
        self.renderer = renderer
        self.limits = start.limits
        self.num_scanouts = start.num_scanouts
        self.displays = start.displays
        self.features = (
            0  # what the front-end and the guest agreed on; VIRTIO_GPU_F_* are bits of it
        )
        self.capsets_asked: set[int] = set()
        self.shared_memory = False
        """Whether the guest has host-visible memory."""
        self.questions = Questions(link, self.respond)
        self.pictures = Pictures(plane, link)
        self.guest_log = LimitedLog(lambda text: link.send(Log("WARNING", f"guest: {text}")))

    @property
    def capsets(self) -> tuple[Capset, ...]:
        """What GET_CAPSET_INFO lists, in its order: the renderer's sets that this guest can use."""
        return tuple(
            capset
            for capset in self.renderer.capsets
            if self.shared_memory or not needs_shared_memory(capset.capset_id)
        )

    def respond(self, chain: int, response: Response) -> None:
        """Answers a command of the guest."""
        try:
            self.plane.respond(chain, response.packed())
        except OSError as error:
            if error.errno != errno.EFAULT:
                raise
            # The guest's memory has shrunk meanwhile.
            self.link.send(MemoryFault())

    def reset(self) -> None:
        """A VIRTIO device reset: everything that the guest made is gone."""
        self.questions.clear()
        self.capsets_asked.clear()
        self.pictures.forget()
        self.plane.reset()
