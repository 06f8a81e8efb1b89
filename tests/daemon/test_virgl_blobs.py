# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""libvirglrenderer's blobs, from the guest's command to what its VMM is asked to map, and which of them it is not.

A library of the tests' own stands in for one with Vulkan, and makes blobs of every kind that there is, and some that there
should not be.
"""

import os
from collections.abc import Iterator

import pytest

from ..device.process import opengl_unavailable
from ..driver import commands, commands_3d
from ..driver.backend import Backend, Machine
from ..driver.commands import ResponseType
from ..driver.frontend import GENERIC_FEATURES, QEMU_PROTOCOL, Feature, Protocol
from ..driver.memory import PAGE
from ..driver.shared_region import SharedRegion
from ..stand_in import blobs
from .running import COMMAND, devices, settled_descriptors, wait_until

pytestmark = pytest.mark.skipif(bool(opengl_unavailable()), reason=opengl_unavailable())

OK = ResponseType.OK_NODATA
UNSPEC = ResponseType.ERR_UNSPEC
INVALID_PARAMETER = ResponseType.ERR_INVALID_PARAMETER
OUT_OF_MEMORY = ResponseType.ERR_OUT_OF_MEMORY
CACHED, WRITE_COMBINED = 1, 3

# By blob_id, as blobs.c has them.
(RING, DEVICE_MEMORY, SHORT_MEMORY, DMABUF, STRANGE, NO_MAP_INFO, NO_FILE, UNSEALED, REFUSED, NO_MEMORY, NEVER_SEALED) = range(11)  # fmt: skip


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with Backend(
        lambda path: [*COMMAND, "--socket-path", str(path), "--gpu-mode", "virglrenderer"],
        environment=blobs(tmp_path_factory.mktemp("stand_in")),
    ) as running:
        yield running


@pytest.fixture
def machine(backend: Backend) -> Iterator[Machine]:
    frontend = {
        "wanted_features": GENERIC_FEATURES | Feature.VIRGL,
        "wanted_protocol": QEMU_PROTOCOL | Protocol.SHMEM,
        "timeout": 20.0,
    }
    with Machine(
        backend.socket_path, frontend=frontend, guest={"control_size": 256, "timeout": 20.0}
    ) as made:
        made.guest.do(commands_3d.ctx_create(1))
        yield made


@pytest.fixture
def region(machine: Machine) -> Iterator[SharedRegion]:
    with SharedRegion(machine.frontend) as made:
        yield made


def create(machine: Machine, kind: int, size: int, number: int = 1) -> int:
    return machine.guest.ask(commands.create_host_blob(number, size, blob_id=kind)).type


def map_blob(machine: Machine, number: int = 1, offset: int = 0) -> tuple[int, int]:
    """The response's type, and what it says of caching."""
    request = commands.resource_map_blob(number, offset)
    response = machine.guest.ask(request, commands.MAP_INFO_SIZE)
    return response.type, int.from_bytes(response.data[:4], "little")


@pytest.mark.parametrize(
    ("kind", "size", "place"),
    [
        (RING, 131268, 0),
        (RING, 1, 0),
        (DEVICE_MEMORY, PAGE, PAGE),
        (DEVICE_MEMORY, 5000, PAGE),
        # Not more than was allocated, but all of its last page is the guest's.
        (SHORT_MEMORY, 100, PAGE),
    ],
)
def test_a_blob_is_mapped_from_where_it_begins(
    machine: Machine, region: SharedRegion, kind: int, size: int, place: int
) -> None:
    """And never the first page of a driver's own file: the driver trusts what it has written
    there.
    """
    assert create(machine, kind, size) == OK
    assert map_blob(machine) == (ResponseType.OK_MAP_INFO, CACHED)
    [asked] = region.asked
    assert (asked.file_offset, asked.length) == (place, -(-size // PAGE) * PAGE)


@pytest.mark.parametrize(
    ("kind", "size", "response"),
    [
        # More than the file has: who touched that would be ended.
        (SHORT_MEMORY, PAGE * 2, INVALID_PARAMETER),
        (SHORT_MEMORY, PAGE + 1, INVALID_PARAMETER),
        (SHORT_MEMORY, 4 << 30, INVALID_PARAMETER),
        (STRANGE, PAGE, UNSPEC),
        (NO_MAP_INFO, PAGE, UNSPEC),
        (NO_FILE, PAGE, UNSPEC),
        (NEVER_SEALED, PAGE, UNSPEC),
    ],
)
def test_what_cannot_be_mapped_is_not_asked_for(
    machine: Machine, region: SharedRegion, kind: int, size: int, response: int
) -> None:
    assert create(machine, kind, size) == OK
    assert map_blob(machine)[0] == response
    assert region.asked == []
    assert machine.guest.ask(commands.resource_unref(1)).type == OK


def test_memory_that_is_not_sealed_yet_is_made_whole_pages_and_sealed(
    machine: Machine, region: SharedRegion
) -> None:
    """As a VMM wants it that maps no part of a page."""
    assert create(machine, UNSEALED, 5000) == OK
    assert map_blob(machine) == (ResponseType.OK_MAP_INFO, CACHED)
    assert wait_until(lambda: 0 in region.windows)
    file = region.windows[0].fd
    assert os.fstat(file).st_size == 2 * PAGE
    for size in (PAGE, 3 * PAGE):
        with pytest.raises(PermissionError):
            os.ftruncate(file, size)


def test_how_it_is_cached_is_the_library_s_to_say(machine: Machine, region: SharedRegion) -> None:
    assert create(machine, DMABUF, PAGE) == OK
    assert map_blob(machine) == (ResponseType.OK_MAP_INFO, WRITE_COMBINED)
    assert [asked.file_offset for asked in region.asked] == [0]


@pytest.mark.parametrize(
    ("kind", "response"),
    [(REFUSED, INVALID_PARAMETER), (NO_MEMORY, OUT_OF_MEMORY), (77, INVALID_PARAMETER)],
)
def test_what_the_library_refuses_is_none(machine: Machine, kind: int, response: int) -> None:
    assert create(machine, kind, PAGE) == response
    assert create(machine, RING, PAGE) == OK


def test_opengl_is_not_told_that_its_buffers_can_be_mapped(machine: Machine) -> None:
    """Drawn in software they have no file, and a driver would find out when it is too late to do without."""
    size = commands.HEADER_SIZE + 4096
    data = machine.guest.ask(commands.get_capset(2, 2), size).data
    # virgl_hw.h: VIRGL_CAP_ARB_BUFFER_STORAGE of struct virgl_caps_v2's capability_bits.
    bits = int.from_bytes(data[392:396], "little")
    assert bits
    assert not bits & 1 << 31
    # The field is where it is taken to be: this one comes 300 bytes later.
    assert data[696:].startswith(b"LLVMPIPE")


def test_no_descriptor_is_left(backend: Backend, machine: Machine, region: SharedRegion) -> None:
    [device] = devices(backend.process.pid)
    before = settled_descriptors(device)
    for kind in range(11):
        if create(machine, kind, PAGE, 1 + kind) == OK:
            map_blob(machine, 1 + kind, kind * PAGE)
    for kind in range(11):
        machine.guest.ask(commands.resource_unref(1 + kind))
    assert settled_descriptors(device) == before


def test_contexts_have_blobs_attached_and_streams_go_on(
    machine: Machine, region: SharedRegion
) -> None:
    guest = machine.guest
    assert create(machine, RING, PAGE) == OK
    assert guest.ask(commands_3d.ctx_attach_resource(1, 1)).type == OK
    assert guest.ask(commands_3d.submit_3d(1, commands_3d.NOP)).type == OK
    assert guest.ask(commands_3d.ctx_detach_resource(1, 1)).type == OK
    address = machine.memory.allocate(PAGE, PAGE)
    shared = commands.resource_create_blob(
        2, PAGE, [(address, PAGE)], blob_mem=commands.BLOB_MEM_HOST3D_GUEST, ctx_id=1
    )
    assert guest.ask(shared).type == OK
    assert guest.ask(commands.resource_unref(2)).type == OK
    assert guest.ask(commands_3d.ctx_destroy(1)).type == OK
    assert map_blob(machine)[0] == ResponseType.OK_MAP_INFO
