# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What is noted of a ring is what its queue has."""

import errno
import os
from pathlib import Path

import pytest

from vgpud.session.vring import DESCRIPTORS, Vring
from vgpud.vhost_user.messages import VringAddress


class Queue:
    """``refuses``: it cannot be had."""

    def __init__(self) -> None:
        self.refuses = False

    async def start(self, vring: Vring) -> None:
        """It is at work."""

    async def set_enabled(self, vring: Vring) -> None:
        """As it likes."""

    async def set_descriptor(self, vring: Vring, which: str) -> None:
        if self.refuses:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def stop(self, vring: Vring) -> int:
        return 0


def is_open(descriptor: int) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").is_symlink()


async def started(queue: Queue) -> Vring:
    vring = Vring(queue)
    vring.set_size(16)
    await vring.set_address(VringAddress(0, 0, 0, 0, 0, 0))
    for which in DESCRIPTORS:
        await vring.set_descriptor(which, os.eventfd(0))
    await vring.start_if_ready()
    assert vring.started
    return vring


@pytest.mark.parametrize("which", DESCRIPTORS)
@pytest.mark.parametrize("present", [True, False])
async def test_a_descriptor_that_is_refused_leaves_the_one_before(
    which: str, present: bool
) -> None:
    queue = Queue()
    vring = await started(queue)
    before = dict(vring.descriptors)
    other = os.eventfd(0) if present else None
    queue.refuses = True
    with pytest.raises(OSError, match="Too many open files"):
        await vring.set_descriptor(which, other)
    assert vring.descriptors == before
    assert all(map(is_open, before.values()))
    assert other is None or not is_open(other)
    vring.close()
    assert not any(map(is_open, before.values()))


@pytest.mark.parametrize("which", DESCRIPTORS)
async def test_a_descriptor_that_is_replaced_is_closed(which: str) -> None:
    vring = await started(Queue())
    before, other = vring.descriptors[which], os.eventfd(0)
    await vring.set_descriptor(which, other)
    assert vring.descriptors[which] == other
    assert not is_open(before)
    await vring.set_descriptor(which, None)
    assert which not in vring.descriptors
    assert not is_open(other)
    vring.close()
