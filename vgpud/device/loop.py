# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Runs the queue as a virtual machine monitor runs a processor: enter it, and do what the exit asks
for.
"""

from functools import partial
from typing import NoReturn

from vgpud.device import dataplane
from vgpud.device.dataplane import Exit
from vgpud.device.device import Device
from vgpud.device.dispatch import dispatch
from vgpud.device.link_requests import handle
from vgpud.link.messages import MemoryFault, QueueBroken


def run(device: Device) -> NoReturn:
    """Works until the session goes (``LinkClosedError``) or a handler fails."""
    while True:
        out = device.plane.run()
        HANDLERS[out.reason](device, out)


def _link(device: Device, out: Exit) -> None:
    device.link.drain(partial(handle, device))


def _queue_broken(device: Device, out: Exit) -> None:
    # The data plane has stopped the queue and told the VMM by its error descriptor.
    device.questions.clear()
    device.link.send(QueueBroken(dataplane.queue_error_text(out.error)))


def _memory_fault(device: Device, out: Exit) -> None:
    # The machine is over, but only the session may decide that.
    device.questions.clear()
    device.link.send(MemoryFault())


HANDLERS = {
    dataplane.EXIT_COMMAND: dispatch,
    dataplane.EXIT_LINK: _link,
    dataplane.EXIT_QUEUE_BROKEN: _queue_broken,
    dataplane.EXIT_MEMORY_FAULT: _memory_fault,
}
