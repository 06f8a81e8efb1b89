# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The processes that execute Vulkan for a machine, as the kernel counts them: its render server,
and a worker for each context.
"""

from typing import Any, NamedTuple

from vgpud.daemon.process_use import MappedUse, mapped_use
from vgpud.tree.process import children_of


class VulkanUse(NamedTuple):
    """``server`` is None when there is none."""

    server: MappedUse | None
    workers: tuple[MappedUse, ...]

    @property
    def mapped_bytes(self) -> int:
        """Of the process with the most, since each has its own limit."""
        return max((use.mapped_bytes for use in (self.server, *self.workers) if use), default=0)

    def as_json(self) -> dict[str, Any]:
        server = self.server
        return {
            "render_server": None if server is None else server._asdict(),
            "workers": [worker._asdict() for worker in self.workers],
        }


def vulkan_use(server: int) -> VulkanUse:
    """The use of the render server with that process number, 0: none."""
    if not server:
        return VulkanUse(None, ())
    workers = tuple(use for pid in children_of(server) if (use := mapped_use(pid)))
    return VulkanUse(mapped_use(server), workers)
