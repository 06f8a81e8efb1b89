# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The processes that executed Vulkan for a machine and have ended: how many, and why."""

from vgpud.tree import messages

REASON_CHARACTERS = 1024


class VulkanLosses:
    """Since the session started."""

    def __init__(self) -> None:
        self._workers_killed = 0
        self._servers_ended = 0
        self._last_reason = ""
        self._why_killed = ""

    def worker_killed(self, reason: str) -> None:
        self._workers_killed += 1
        self._last_reason = reason

    def server_killed(self, reason: str) -> None:
        """Its end was not reported yet."""
        self._why_killed = reason

    def server_ended(self, ending: str) -> None:
        self._servers_ended += 1
        self._last_reason = self._why_killed or f"the render server ended with {ending}"
        self._why_killed = ""

    def reported(self) -> messages.VulkanLosses:
        reason = self._last_reason[:REASON_CHARACTERS]
        return messages.VulkanLosses(self._workers_killed, self._servers_ended, reason)
