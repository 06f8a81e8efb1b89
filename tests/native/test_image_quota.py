# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What images take of the host is what they count, however a guest makes, shows and draws them."""

from __future__ import annotations

import gc
import os
import random
import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.driver import commands
from tests.driver.commands import Rectangle, ResponseType
from tests.driver.memory import PAGE, MiB
from vgpud.native import lib

from .plane import Plane

OK, OUT_OF_MEMORY = ResponseType.OK_NODATA, ResponseType.ERR_OUT_OF_MEMORY
QUOTA = 4 * MiB
IMAGE = "vgpud-image"


def images() -> list[int]:
    """The images that this process has open."""
    entries = (entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())
    return [int(entry.name) for entry in entries if IMAGE in str(entry.readlink())]


def taken() -> int:
    """The bytes of host memory of all of them."""
    files = {status.st_ino: status for status in map(os.fstat, images())}
    return sum(status.st_blocks * 512 for status in files.values())


def counted(plane: Plane) -> int:
    return int(plane.state.image_bytes)


def draw(plane: Plane, resource_id: int, side: int) -> None:
    """Transfers and flushes of any part, of which no presenter gives anything back."""
    for _ in range(6):
        x, y = random.randrange(side), random.randrange(side)
        part = Rectangle(x, y, random.randint(1, side - x), random.randint(1, side - y))
        offset = (y * side + x) * 4
        plane.guest.ask(commands.transfer_to_host_2d(resource_id, part, offset))
        plane.guest.ask(commands.resource_flush(resource_id, part))


@pytest.mark.parametrize("side", [1, 5, 32, 64, 128, 256, 257, 400])
def test_no_image_takes_more_than_it_counts(side: int) -> None:
    random.seed(side)
    plane = Plane(image_bytes=QUOTA, resources=3000)
    assert plane.start() == 0
    address = plane.memory.allocate(side * side * 4)
    whole = Rectangle(0, 0, side, side)
    made = 0
    for resource_id in range(1, 3000):
        if plane.guest.ask(commands.resource_create_2d(resource_id, 1, side, side)).type != OK:
            break
        made += 1
        entries = [(address, side * side * 4)]
        plane.guest.ask(commands.resource_attach_backing(resource_id, entries))
        plane.guest.ask(commands.transfer_to_host_2d(resource_id, whole, 0))
        if plane.guest.ask(commands.set_scanout(made % 2, resource_id, whole)).type == OK:
            draw(plane, resource_id, side)
        if made % 16 == 1:
            assert taken() <= counted(plane) <= QUOTA
    assert taken() <= counted(plane) <= QUOTA
    assert made >= QUOTA // (4 * (side * side * 4 + PAGE) + PAGE) - 2
    plane.close()
    assert not images()


def test_what_a_process_has_left_written_counts_for_the_next() -> None:
    plane = Plane(image_bytes=QUOTA)
    assert plane.start() == 0
    picture = plane.guest.create_2d(300, 300)
    plane.guest.show(picture)
    for _ in range(4):
        plane.guest.draw(picture, picture.whole, random.randbytes(300 * 300 * 4))
        plane.guest.transfer(picture)
        plane.guest.flush(picture)
    plane.guest.set_scanout(0, None)
    written = taken()
    assert written <= counted(plane)
    image = os.dup(images()[0])
    plane.die()
    assert counted(plane) == 0
    assert lib.resource_adopt_2d(plane.device, picture.resource_id, 1, 300, 300, image) == 0
    assert written <= counted(plane)
    os.close(image)
    plane.close()


@contextmanager
def descriptors_limited_to(count: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_images_leave_descriptors_for_everything_else() -> None:
    """The limit that is in force counts, also when it was lowered while the device runs."""
    # Those of other tests' memory maps may be open still: Python 3.14 looks for cycles later than others.
    gc.collect()
    with closing(Plane(resources=3000)) as plane:
        assert plane.start() == 0
        create = (commands.resource_create_2d(each, 1, 1, 1) for each in range(1, 3000))
        with descriptors_limited_to(700):
            answers = [plane.guest.ask(next(create)).type for _ in range(360)]
        assert answers == [*[OK] * 350, *[OUT_OF_MEMORY] * 10]
        assert (plane.state.images, plane.state.images_max) == (350, 350)
        with descriptors_limited_to(400):
            assert plane.guest.ask(next(create)).type == OUT_OF_MEMORY
        for resource_id in range(1, 200):
            assert plane.guest.ask(commands.resource_unref(resource_id)).type == OK
        with descriptors_limited_to(700):
            assert plane.guest.ask(next(create)).type == OK
