# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a device process may have its VMM map: anything else would end, or stop, the VMM."""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable

import pytest

from vgpud.session import memory_file
from vgpud.session.shared_region import PAGE

from ..driver.descriptors import F_ADD_SEALS, F_SEAL_SHRINK, KINDS, Hands


def sealed(size: int, seals: int = F_SEAL_SHRINK) -> int:
    descriptor = os.memfd_create("blob", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, F_ADD_SEALS, seals)
    return descriptor


def refusal(descriptor: int, offset: int, length: int) -> int | None:
    try:
        memory_file.check(descriptor, offset, length)
    except OSError as error:
        return error.errno
    finally:
        os.close(descriptor)
    return None


@pytest.mark.parametrize(
    ("size", "offset", "length", "expected"),
    [
        (4 * PAGE, 0, 4 * PAGE, None),
        (4 * PAGE, PAGE, 3 * PAGE, None),
        (3 * PAGE + 1, 0, 4 * PAGE, None),
        (3 * PAGE, 0, 4 * PAGE, errno.EINVAL),
        (4 * PAGE, 4 * PAGE, PAGE, errno.EINVAL),
        (4 * PAGE, 1, PAGE, errno.EINVAL),
        (4 * PAGE, (1 << 64) - PAGE, 2 * PAGE, errno.EINVAL),
        (0, 0, PAGE, errno.EINVAL),
    ],
)
def test_what_a_file_has_can_be_mapped(
    size: int, offset: int, length: int, expected: int | None
) -> None:
    assert refusal(sealed(size), offset, length) == expected


def test_a_file_is_known_by_its_inode_whoever_opened_it() -> None:
    descriptor, other = sealed(PAGE), sealed(PAGE)
    again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
    assert memory_file.check(descriptor, 0, PAGE) == memory_file.check(again, 0, PAGE)
    assert memory_file.check(descriptor, 0, PAGE) != memory_file.check(other, 0, PAGE)
    for one in (descriptor, other, again):
        os.close(one)


def read_only(descriptor: int) -> int:
    again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    os.close(descriptor)
    return again


@pytest.mark.parametrize(
    "made",
    [lambda: sealed(PAGE, 0), lambda: os.memfd_create("no seals"), lambda: read_only(sealed(PAGE))],
    ids=["can be made shorter", "has no seals", "cannot be written"],
)
def test_memory_that_may_go_is_not_mapped(made: Callable[[], int]) -> None:
    assert refusal(made(), 0, PAGE) == errno.EOPNOTSUPP


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if not kind.startswith(("another", "its"))]
)
def test_nothing_but_memory_of_a_fixed_size_is_mapped(
    kind: str, possible: Callable[[str], None]
) -> None:
    possible(kind)
    with Hands() as hands:
        descriptor = KINDS[kind](hands)
        fits = stat.S_ISREG(os.fstat(descriptor).st_mode) and kind == "sealed memory"
        assert refusal(os.dup(descriptor), 0, PAGE) == (None if fits else errno.EOPNOTSUPP)


def test_a_buffer_of_a_driver_is_memory() -> None:
    """Where the kernel makes some without a GPU."""
    try:
        device = os.open("/dev/udmabuf", os.O_RDWR)
    except OSError:
        pytest.skip("there is no /dev/udmabuf")
    memory = sealed(2 * PAGE)
    # linux/udmabuf.h: UDMABUF_CREATE
    request = struct.pack("=IIQQ", memory, 0, 0, 2 * PAGE)
    buffer = fcntl.ioctl(device, 0x40187542, bytearray(request))
    os.close(device)
    os.close(memory)
    assert refusal(os.dup(buffer), 0, 2 * PAGE) is None
    assert refusal(buffer, 0, 3 * PAGE) == errno.EINVAL
