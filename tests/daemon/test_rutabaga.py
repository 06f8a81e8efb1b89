# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Cross-domain contexts through the whole daemon, behind its walls: images that a VMM maps, and a compositor of the host's."""

import contextlib
import fcntl
import mmap
import os
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..driver import commands, commands_3d, rutabaga
from ..driver.backend import Backend
from ..driver.commands import ResponseType
from ..driver.compositor import Compositor
from ..driver.cross_domain import CHANNEL, CTX, IMAGE, KEYMAP, OK, RING
from ..driver.cross_domain import CrossDomainMachine as Machine
from ..driver.memory import PAGE
from .running import COMMAND, devices, show, wait_until

pytestmark = pytest.mark.skipif(rutabaga.folder() is None, reason=rutabaga.NOT_BUILT)

F_ADD_SEALS, SEAL_SHRINK, SEAL_WRITE = 1033, 2, 8


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a compositor listens, if there is one."""
    return tmp_path_factory.mktemp("compositor") / "wayland-0"


@pytest.fixture(scope="module")
def backend(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    configuration = tmp_path_factory.mktemp("vgpud") / "vgpud.toml"
    configuration.write_text("[device_process]\nrestarts = 1000\nrestart_delay = 0.0\n")
    options = ("--gpu-mode", "gfxstream", "--capset", "cross-domain", "--wayland", str(place))
    with Backend(
        lambda path: [
            *COMMAND,
            "--socket-path",
            str(path),
            "--config",
            str(configuration),
            *options,
        ],
        environment={"LD_LIBRARY_PATH": str(rutabaga.folder())},
    ) as running:
        yield running


@pytest.fixture
def machine(backend: Backend) -> Iterator[Machine]:
    with Machine(backend.socket_path) as machine:
        yield machine


@pytest.fixture
def compositor(place: Path) -> Iterator[Compositor]:
    with Compositor(place) as compositor:
        yield compositor


def file_with(content: bytes) -> int:
    descriptor = os.memfd_create("keymap", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    return descriptor


# --- without a compositor


def test_it_is_named_and_confined(backend: Backend, machine: Machine) -> None:
    show(machine.connected)
    assert "librutabaga_gfx_ffi" in backend.log
    assert "not confined in full" not in backend.log


def test_an_image_of_the_hosts_is_mapped_into_the_guest(machine: Machine) -> None:
    assert machine.submit(rutabaga.init(RING, RING)) == OK
    size = machine.image().size
    for written in (b"\x5a", b"\xa5"):
        with mmap.mmap(machine.map(IMAGE), size) as window:
            window[size - 1 : size] = written
        machine.do(commands.resource_unmap_blob(IMAGE))
    with mmap.mmap(machine.map(IMAGE), size) as window:
        assert window[size - 1 : size] == b"\xa5"


def test_a_compositor_that_is_not_there_is_one_that_may_come(machine: Machine, place: Path) -> None:
    assert machine.connect() == ResponseType.ERR_UNSPEC
    with Compositor(place) as compositor:
        machine.end()
        machine.begin()
        assert machine.connect() == OK
        compositor.accept()


def test_a_killed_device_process_costs_the_contexts_alone(
    backend: Backend, machine: Machine, compositor: Compositor
) -> None:
    assert machine.connect() == OK
    compositor.accept()
    waiting = machine.poll()
    before = devices(backend.process.pid)
    [process] = before
    os.kill(process, signal.SIGKILL)
    assert machine.guest.wait(waiting).type != 0
    assert wait_until(lambda: len(set(devices(backend.process.pid)) - set(before)) == 1)
    assert machine.submit(rutabaga.poll()) == ResponseType.ERR_INVALID_CONTEXT_ID
    assert compositor.hear().data == b""
    machine.do(*map(commands.resource_unref, (RING, CHANNEL)))
    machine.begin()
    assert machine.connect() == OK
    compositor.accept()
    show(machine.connected)


# --- with one


def test_what_both_say_reaches_the_other(machine: Machine, compositor: Compositor) -> None:
    assert machine.connect() == OK
    compositor.accept()
    assert machine.submit(rutabaga.send(b"get_registry")) == OK
    assert compositor.hear().data.startswith(b"get_registry")
    waiting = machine.poll()
    assert machine.guest.control.finished(waiting) is None
    compositor.say(b"global")
    assert machine.guest.wait(waiting).fence_id == 8
    assert rutabaga.received(machine.channel.read(0, PAGE)) == (0, b"global")


def test_an_image_of_the_guest_s_is_the_compositor_s_to_show(
    machine: Machine, compositor: Compositor
) -> None:
    assert machine.connect() == OK
    compositor.accept()
    size = machine.image().size
    with mmap.mmap(machine.map(IMAGE), size) as window:
        window[:4] = b"\x01\x02\x03\x04"
    assert machine.submit(rutabaga.send(b"create_pool", (IMAGE,))) == OK
    [descriptor] = compositor.hear().descriptors
    with contextlib.closing(mmap.mmap(descriptor, size)) as shown:
        assert shown[:4] == b"\x01\x02\x03\x04"
    os.close(descriptor)


@pytest.mark.parametrize("seals", [0, SEAL_SHRINK, SEAL_SHRINK | SEAL_WRITE])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_keymap_is_the_guest_s_own_to_read(
    machine: Machine, compositor: Compositor, seals: int, read_only: bool
) -> None:
    """A guest that wrote to a file that can only be read would be ended for it, and its VMM with it."""
    assert machine.connect() == OK
    compositor.accept()
    waiting = machine.poll()
    keymap = file_with(b"xkb_keymap {")
    fcntl.fcntl(keymap, F_ADD_SEALS, seals)
    given = os.open(f"/proc/self/fd/{keymap}", os.O_RDONLY) if read_only else os.dup(keymap)
    compositor.say(b"keymap", [given])
    os.close(given)
    machine.guest.wait(waiting)
    ring = machine.channel.read(0, PAGE)
    assert rutabaga.received(ring) == (1, b"keymap")
    (number,) = struct.unpack_from("<I", ring, 16)
    machine.do(commands.create_host_blob(KEYMAP, 12, CTX, number))
    window = machine.map(KEYMAP)
    assert fcntl.fcntl(window, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    assert os.pread(window, 12, 0) == b"xkb_keymap {"
    if seals & SEAL_WRITE or read_only:
        os.pwrite(window, b"X", 0)
    os.lseek(keymap, 0, os.SEEK_SET)
    assert os.read(keymap, 12) == b"xkb_keymap {"
    os.close(keymap)


@pytest.mark.parametrize("kind", ["a socket", "an event", "a folder"])
def test_a_descriptor_of_the_wrong_kind_costs_that_context(
    machine: Machine, compositor: Compositor, kind: str
) -> None:
    assert machine.connect() == OK
    compositor.accept()
    waiting = machine.poll()
    ours, theirs = socket.socketpair()
    descriptor = {
        "a socket": lambda: os.dup(theirs.fileno()),
        "an event": lambda: os.eventfd(0),
        "a folder": lambda: os.open("/", os.O_RDONLY),
    }[kind]()
    compositor.say(b"take this", [descriptor])
    os.close(descriptor)
    show(machine.connected)
    machine.do(commands_3d.ctx_destroy(CTX))
    assert machine.guest.wait(waiting).fence_id == 8
    ours.close()
    theirs.close()


def test_a_compositor_that_dies_costs_its_contexts(machine: Machine, place: Path) -> None:
    with Compositor(place) as compositor:
        assert machine.connect() == OK
        compositor.accept()
        waiting = machine.poll()
    assert machine.submit(rutabaga.send(b"anybody there?")) == ResponseType.ERR_UNSPEC
    show(machine.connected)
    machine.end()
    assert machine.guest.wait(waiting).fence_id == 8
    with Compositor(place) as compositor:
        machine.begin()
        assert machine.connect() == OK
        compositor.accept()


def test_a_machine_that_leaves_hangs_up(backend: Backend, compositor: Compositor) -> None:
    with Machine(backend.socket_path) as machine:
        assert machine.connect() == OK
        compositor.accept()
        machine.poll()
    assert compositor.hear().data == b""
