# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The session's part of the control queue: the device process works on it."""

from vgpud.link import messages
from vgpud.session.session_state import SessionState
from vgpud.session.start_up import start_queue
from vgpud.session.supervisor import Supervisor
from vgpud.session.vring import Vring


class ControlQueue:
    """All methods but ``stop`` need the supervisor's lock."""

    def __init__(self, supervisor: Supervisor, state: SessionState) -> None:
        self._supervisor = supervisor
        self._state = state

    async def start(self, vring: Vring) -> None:
        vring.begun = False
        message, descriptors = start_queue(vring, recover=False)
        vring.begun = await self._supervisor.tell(message, descriptors)
        await self.set_enabled(vring)

    async def set_enabled(self, vring: Vring) -> None:
        await self._supervisor.tell(messages.EnableQueue(vring.enabled))

    async def set_descriptor(self, vring: Vring, which: str) -> None:
        descriptor = vring.descriptors.get(which)
        present = descriptor is not None
        message = messages.SetQueueDescriptor(which, present)
        await self._supervisor.tell(message, [descriptor] if descriptor is not None else [])

    async def stop(self, vring: Vring) -> int:
        base = await self._supervisor.stop_queue()
        return self._state.control_base(vring.packed) if base is None else base
