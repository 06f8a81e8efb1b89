# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Images too large for a cache go past it, and still arrive."""

import random

import pytest

from tests.driver import commands
from tests.driver.memory import GuestMemory, MiB, Scattered

from .plane import Plane
from .test_transfer import image, noise

# Four megapixels are 16 MiB: such a copy is always uncached.
SIDE = 2048


@pytest.mark.parametrize("cut", [1, 3, 4, 20, 63])
def test_a_large_image_is_whole_whatever_its_backing_is_cut_into(cut: int) -> None:
    plane = Plane(memory=GuestMemory(48 * MiB))
    assert plane.start() == 0
    resource = plane.guest.create_2d(SIDE, SIDE, backed=False)
    size = resource.stride * resource.height
    # Pieces of odd lengths first, so that all that follows lies across lines and vectors.
    lengths = [cut, 64, 200, 65 * 1024 - cut, 5]
    lengths.append(size - sum(lengths))
    resource.entries = [(plane.memory.allocate(length, 1), length) for length in lengths]
    random.Random(cut).shuffle(resource.entries)
    plane.guest.do(commands.resource_attach_backing(resource.resource_id, resource.entries))
    pixels = noise(1 << 20) * (size >> 20)
    Scattered(plane.memory, resource.entries).write(0, pixels)
    plane.guest.transfer(resource)
    assert image(plane, resource) == pixels
    plane.close()
