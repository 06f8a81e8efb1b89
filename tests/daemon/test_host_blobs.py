# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Host blobs through the whole daemon, from the guest's command to what its VMM has mapped: by a library that makes
memory and draws nothing, and a VMM that may do anything.
"""

import mmap
import os
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from vgpud.control.protocol import ControlError

from ..driver import commands, commands_3d
from ..driver.backend import Backend, Machine
from ..driver.commands import ResponseType
from ..driver.frontend import GENERIC_FEATURES, QEMU_PROTOCOL, Protocol
from ..driver.memory import PAGE, MiB
from ..driver.shared_region import SHMEM_MAP, SHMEM_UNMAP, Asked, SharedRegion
from .running import daemon, devices, is_running, status, wait_until

SIZE = 64 * MiB
SLOTS = 509
OK = ResponseType.OK_NODATA
MAPPED = ResponseType.OK_MAP_INFO
UNSPEC = ResponseType.ERR_UNSPEC
OUT_OF_MEMORY = ResponseType.ERR_OUT_OF_MEMORY
INVALID_PARAMETER = ResponseType.ERR_INVALID_PARAMETER
INVALID_RESOURCE = ResponseType.ERR_INVALID_RESOURCE_ID
INVALID_CONTEXT = ResponseType.ERR_INVALID_CONTEXT_ID


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    configuration = tmp_path_factory.mktemp("vgpud") / "vgpud.toml"
    configuration.write_text("[device_process]\nrestarts = 1000\nrestart_delay = 0.0\n")
    options = ("--gpu-mode", "null", "--hostmem", f"{SIZE // MiB}MiB")
    with daemon("--config", str(configuration), *options) as running:
        yield running


def machine(backend: Backend, protocol: Protocol = QEMU_PROTOCOL | Protocol.SHMEM) -> Machine:
    made = Machine(
        backend.socket_path,
        frontend={"wanted_features": GENERIC_FEATURES, "wanted_protocol": protocol},
    )
    assert made.guest.ask(commands_3d.ctx_create(1)).type == OK
    return made


@contextmanager
def playing(
    backend: Backend,
    answer: Callable[[Asked], int | None] = lambda asked: 0,
    *,
    tells_first: bool = False,
) -> Iterator[tuple[Machine, SharedRegion]]:
    with (
        machine(backend) as made,
        SharedRegion(made.frontend, tells_first, answer=answer) as region,
    ):
        yield made, region


def works(made: Machine) -> None:
    """Commands are answered, those that the session is asked about as well."""
    guest = made.guest
    assert guest.edid(0).ok
    assert guest.ask(commands.resource_create_2d(70000, 1, 8, 8)).type == OK
    assert unref(made, 70000) == OK


def create(made: Machine, number: int, size: int = PAGE) -> None:
    assert made.guest.ask(commands.create_host_blob(number, size)).type == OK


def map_blob(made: Machine, number: int, offset: int = 0) -> int:
    request = commands.resource_map_blob(number, offset)
    return made.guest.ask(request, commands.MAP_INFO_SIZE).type


def unmap(made: Machine, number: int) -> int:
    return made.guest.ask(commands.resource_unmap_blob(number)).type


def unref(made: Machine, number: int) -> int:
    return made.guest.ask(commands.resource_unref(number)).type


def machines(backend: Backend) -> list[dict[str, Any]] | None:
    """None before it can be asked."""
    try:
        found: list[dict[str, Any]] = status(backend.socket_path)["machines"]
    except ControlError:
        return None
    return found


def limits(backend: Backend) -> dict[str, tuple[int, int]]:
    [shown] = machines(backend) or []
    return {name: (use["used"], use["limit"]) for name, use in shown["limits"].items()}


def alone(backend: Backend) -> None:
    """What the machine before has left behind is gone."""
    assert wait_until(lambda: machines(backend) == [])


@pytest.mark.parametrize("tells_first", [False, True])
def test_the_life_of_a_mapped_blob(backend: Backend, tells_first: bool) -> None:
    alone(backend)
    with playing(backend, tells_first=tells_first) as (made, region):
        assert made.frontend.shared_regions == {1: SIZE}
        create(made, 1, 3 * PAGE)
        create(made, 2, PAGE + 1)
        assert map_blob(made, 1, 8 * PAGE) == MAPPED
        assert map_blob(made, 2, 11 * PAGE) == MAPPED
        assert region.asked == [
            Asked(SHMEM_MAP, 1, 0, 8 * PAGE, 3 * PAGE, 1),
            Asked(SHMEM_MAP, 1, 0, 11 * PAGE, 2 * PAGE, 1),
        ]
        assert wait_until(lambda: sorted(region.windows) == [8 * PAGE, 11 * PAGE])
        used = limits(backend)
        assert used["hostmem"] == (5 * PAGE, SIZE)
        assert used["blob_memory"] == (4 * PAGE + 1, 4 << 30)
        assert used["memory_slots"] == (3, SLOTS)
        # What is written there is the blob's, wherever it is mapped next.
        with mmap.mmap(region.windows[8 * PAGE].fd, 3 * PAGE) as window:
            window[2 * PAGE] = 77
        assert unmap(made, 1) == OK
        assert unmap(made, 1) == INVALID_PARAMETER
        assert map_blob(made, 1, 0) == MAPPED
        assert wait_until(lambda: sorted(region.windows) == [0, 11 * PAGE])
        with mmap.mmap(region.windows[0].fd, 3 * PAGE) as window:
            assert window[2 * PAGE] == 77
        # A blob that goes is unmapped.
        assert unref(made, 1) == OK
        assert wait_until(lambda: sorted(region.windows) == [11 * PAGE])
        # The session hears of it after the VMM has done it.
        assert wait_until(lambda: limits(backend)["hostmem"] == (2 * PAGE, SIZE))
        works(made)


@pytest.mark.parametrize(
    ("offset", "response"),
    [
        (1, INVALID_PARAMETER),
        (8 * PAGE, INVALID_PARAMETER),
        (7 * PAGE, INVALID_PARAMETER),
        (9 * PAGE, INVALID_PARAMETER),
        (SIZE, INVALID_PARAMETER),
        (SIZE - PAGE, INVALID_PARAMETER),
        ((1 << 64) - PAGE, INVALID_PARAMETER),
        ((1 << 64) - 1, INVALID_PARAMETER),
        (6 * PAGE, MAPPED),
        (10 * PAGE, MAPPED),
        (SIZE - 2 * PAGE, MAPPED),
    ],
)
def test_where_a_blob_can_be_mapped(backend: Backend, offset: int, response: int) -> None:
    with playing(backend) as (made, region):
        create(made, 1, 2 * PAGE)
        create(made, 2, 2 * PAGE)
        assert map_blob(made, 1, 8 * PAGE) == MAPPED
        assert map_blob(made, 2, offset) == response
        assert map_blob(made, 1, 32 * PAGE) == INVALID_PARAMETER  # a second time
        assert len(region.asked) == 1 + (response == MAPPED)


def test_a_program_with_two_thousand_allocations(backend: Backend) -> None:
    """Each takes one of the memory slots that the VMM was promised: what is one too many is refused in its command, and
    nothing of what was there before is lost.
    """
    alone(backend)
    count, fit = 2000, SLOTS - 1
    with playing(backend) as (made, region):
        for number in range(1, count + 1):
            create(made, number)
        responses = [map_blob(made, number, number * PAGE) for number in range(1, count + 1)]
        assert responses == [MAPPED] * fit + [OUT_OF_MEMORY] * (count - fit)
        used = limits(backend)
        assert used["memory_slots"] == (SLOTS, SLOTS)
        assert used["hostmem"] == (fit * PAGE, SIZE)
        assert used["resources"] == (count, 8192)
        # One goes, and one that was refused comes.
        for gone, next_one in ((1, 1500), (2, 1999)):
            assert unmap(made, gone) == OK
            assert map_blob(made, next_one, gone * PAGE) == MAPPED
        assert map_blob(made, 1, SIZE - PAGE) == OUT_OF_MEMORY
        works(made)
        for number in range(1, count + 1):
            assert unref(made, number) == OK
        assert wait_until(lambda: region.windows == {}, 20)
        assert limits(backend)["hostmem"] == (0, SIZE)
        assert limits(backend)["blob_memory"] == (0, 4 << 30)
        create(made, 1)
        assert map_blob(made, 1) == MAPPED


def test_a_vmm_that_refuses(backend: Backend) -> None:
    refusing = [1, 0, 7, 0]
    with playing(backend, lambda asked: refusing.pop(0)) as (made, region):
        create(made, 1)
        assert [map_blob(made, 1), map_blob(made, 1)] == [UNSPEC, MAPPED]
        assert [unmap(made, 1), unmap(made, 1)] == [UNSPEC, OK]
        assert region.windows == {}
        works(made)


def test_a_vmm_that_answers_late_holds_up_nobody(backend: Backend) -> None:
    with machine(backend) as made:
        create(made, 1)
        pending = made.guest.submit(commands.resource_map_blob(1), commands.MAP_INFO_SIZE)
        message = made.frontend.backend_request()
        works(made)
        # Nor the end of the blob itself.
        assert unref(made, 1) == OK
        create(made, 1, 2 * PAGE)
        os.close(message.fds[0])
        made.frontend.answer_backend(message)
        assert made.guest.wait(pending).type == MAPPED
        # What was mapped is the blob's that has gone.
        message = made.frontend.backend_request()
        assert message.request == SHMEM_UNMAP
        made.frontend.answer_backend(message)
        pending = made.guest.submit(commands.resource_map_blob(1), commands.MAP_INFO_SIZE)
        message = made.frontend.backend_request()
        assert message.request == SHMEM_MAP
        os.close(message.fds[0])
        made.frontend.answer_backend(message)
        assert made.guest.wait(pending).type == MAPPED


def test_a_vmm_that_never_answers(backend: Backend) -> None:
    """After five seconds nothing more is mapped, and everything else goes on."""
    with playing(backend, lambda asked: None) as (made, region):
        made.guest.timeout = 10
        create(made, 1)
        assert map_blob(made, 1) == UNSPEC
        assert map_blob(made, 1) == UNSPEC
        assert len(region.asked) == 1
        works(made)
        assert unref(made, 1) == OK


def test_a_vmm_that_leaves_in_the_middle(backend: Backend) -> None:
    alone(backend)
    with machine(backend) as made:
        for number in range(1, 21):
            create(made, number)
            made.guest.submit(commands.resource_map_blob(number, number * PAGE))
        message = made.frontend.backend_request()
        os.close(message.fds[0])
    alone(backend)
    with playing(backend) as (made, _):
        create(made, 1)
        assert map_blob(made, 1) == MAPPED


def kill_device(backend: Backend) -> None:
    [process_id] = devices(backend.process.pid)
    os.kill(process_id, signal.SIGKILL)
    assert wait_until(lambda: not is_running(process_id))
    assert wait_until(lambda: len(devices(backend.process.pid)) == 1)


def test_when_a_device_process_dies_what_is_mapped_stays_and_can_be_got_rid_of(
    backend: Backend,
) -> None:
    alone(backend)
    with playing(backend) as (made, region):
        for number in (1, 2, 3):
            create(made, number, 2 * PAGE)
            assert map_blob(made, number, number * 8 * PAGE) == MAPPED
        with mmap.mmap(region.windows[8 * PAGE].fd, 2 * PAGE) as window:
            window[5] = 55
        uuid = made.guest.do(commands.resource_assign_uuid(1), commands.RESOURCE_UUID_SIZE).data
        kill_device(backend)
        # The guest's program sees old contents, and no fault.
        works(made)
        with mmap.mmap(region.windows[8 * PAGE].fd, 2 * PAGE) as window:
            assert window[5] == 55
        assert len(region.asked) == 3
        again = made.guest.do(commands.resource_assign_uuid(1), commands.RESOURCE_UUID_SIZE).data
        assert again == uuid
        # Lost blobs count no bytes any more; their windows do.
        assert limits(backend)["blob_memory"] == (0, 4 << 30)
        assert limits(backend)["hostmem"] == (6 * PAGE, SIZE)
        # Contexts are gone.
        attach = commands_3d.ctx_attach_resource(1, 1)
        assert made.guest.ask(attach).type == INVALID_CONTEXT
        assert made.guest.ask(commands_3d.ctx_create(1)).type == OK
        assert made.guest.ask(attach).type == OK
        assert made.guest.ask(commands_3d.ctx_detach_resource(1, 1)).type == OK
        # Unmapped, and not mapped again.
        assert unmap(made, 1) == OK
        assert map_blob(made, 1, 8 * PAGE) == UNSPEC
        assert unref(made, 1) == OK
        # Unmapped with its end.
        assert unref(made, 2) == OK
        create(made, 2)
        assert map_blob(made, 2, 16 * PAGE) == MAPPED
        # What is mapped yet is in nobody's way but its own.
        create(made, 4)
        assert map_blob(made, 4, 24 * PAGE) == INVALID_PARAMETER
        assert map_blob(made, 4, 26 * PAGE) == MAPPED
        assert unref(made, 3) == OK
        assert wait_until(lambda: sorted(region.windows) == [16 * PAGE, 26 * PAGE])


def test_a_device_process_that_dies_while_the_vmm_maps(backend: Backend) -> None:
    alone(backend)
    with machine(backend) as made:
        create(made, 1)
        pending = made.guest.submit(commands.resource_map_blob(1), commands.MAP_INFO_SIZE)
        message = made.frontend.backend_request()
        kill_device(backend)
        assert made.guest.wait(pending).type == UNSPEC
        os.close(message.fds[0])
        made.frontend.answer_backend(message)
        # It is still mapped, for the guest to unmap.
        assert wait_until(lambda: limits(backend)["hostmem"] == (PAGE, SIZE))
        pending = made.guest.submit(commands.resource_unmap_blob(1))
        message = made.frontend.backend_request()
        assert message.request == SHMEM_UNMAP
        made.frontend.answer_backend(message)
        assert made.guest.wait(pending).type == OK
        assert unref(made, 1) == OK
        assert limits(backend)["hostmem"] == (0, SIZE)


def test_a_guest_that_begins_anew_finds_the_region_empty(backend: Backend) -> None:
    alone(backend)
    with playing(backend) as (made, region):
        for number in range(1, 6):
            create(made, number)
            assert map_blob(made, number, number * PAGE) == MAPPED
        made.reboot()
        assert made.guest.ask(commands_3d.ctx_create(1)).type == OK
        assert map_blob(made, 1) == INVALID_RESOURCE
        create(made, 1, 6 * PAGE)
        assert map_blob(made, 1, 0) == MAPPED
        assert wait_until(lambda: sorted(region.windows) == [0])
        requests = [asked.request for asked in region.asked]
        assert requests == [SHMEM_MAP] * 5 + [SHMEM_UNMAP] * 5 + [SHMEM_MAP]


@pytest.mark.parametrize("without", [Protocol.SHMEM, Protocol.REPLY_ACK, Protocol.BACKEND_SEND_FD])
def test_a_vmm_without_a_region(backend: Backend, without: Protocol) -> None:
    alone(backend)
    with machine(backend, (QEMU_PROTOCOL | Protocol.SHMEM) & ~without) as made:
        create(made, 1)
        assert map_blob(made, 1) == UNSPEC
        assert limits(backend)["hostmem"] == (0, 0)
        works(made)


def alignment(made: Machine) -> int:
    *_, number = struct.unpack("<5I", made.frontend.get_config(20))
    return int(number)


def test_what_is_told_of_alignment(backend: Backend) -> None:
    with machine(backend) as made:
        assert alignment(made) == mmap.PAGESIZE
        # Linux 7.2 refuses every program's blob of another size once it has this feature.
        assert bool(made.frontend.offered_features & 1 << 5) == (mmap.PAGESIZE > 4096)


@pytest.mark.parametrize(
    "options", [["--gpu-mode", "2d"], ["--gpu-mode", "null", "--hostmem", "0"]]
)
def test_without_blobs_or_room_for_them_there_is_no_region(options: list[str]) -> None:
    with (
        daemon(*options) as running,
        Machine(
            running.socket_path,
            frontend={
                "wanted_features": GENERIC_FEATURES,
                "wanted_protocol": QEMU_PROTOCOL | Protocol.SHMEM,
            },
        ) as made,
    ):
        assert Protocol.SHMEM not in made.frontend.offered_protocol
        assert alignment(made) == 0
        works(made)


def test_memory_of_the_guests_goes_on_while_blobs_are_mapped(backend: Backend) -> None:
    """Windows take slots from the same count, and are in no table."""
    with playing(backend) as (made, region):
        create(made, 1)
        assert map_blob(made, 1) == MAPPED
        made.frontend.add_region(made.memory.add(1 << 32, MiB))
        works(made)
        assert wait_until(lambda: len(region.windows) == 1)
