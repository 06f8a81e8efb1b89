# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How a device process starts, what it needs, and that it never outlives its session."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vgpud.errors import EXIT_RENDERER_UNAVAILABLE
from vgpud.link import messages
from vgpud.link.codec import encode
from vgpud.wire import virtio_gpu as wire

from .process import STARTED_WITHIN, DeviceProcess, proportional_set_size, wait_until
from .program import PROGRAM

MODULES = (
    "import sys; import vgpud.device.process, vgpud.device.renderers.software_2d;"
    " print(*sys.modules)"
)


def test_it_says_what_its_renderer_can_do() -> None:
    with DeviceProcess("2d") as process:
        assert process.started == messages.Started(
            capsets=(),
            device_features=1 << wire.VIRTIO_GPU_F_EDID
            | 1 << wire.VIRTIO_GPU_F_RESOURCE_UUID
            | 1 << wire.VIRTIO_GPU_F_RESOURCE_BLOB,
            description="2D in software",
            serial=process.started.serial,
        )


def test_it_answers_while_nothing_happens() -> None:
    with DeviceProcess("null") as process:
        assert isinstance(process.request(messages.Ping()), messages.Pong)


@pytest.fixture
def many_descriptors() -> Iterator[int]:
    """As many as a daemon of many machines may have open."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("the limit of descriptors is too low")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    yield 2047
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def test_its_link_may_have_any_number(many_descriptors: int) -> None:
    with DeviceProcess("null", lowest_link_fd=many_descriptors) as process:
        assert isinstance(process.request(messages.Ping()), messages.Pong)


def test_a_renderer_that_does_not_exist_ends_it_with_the_reason() -> None:
    with DeviceProcess("no such renderer") as process:
        assert isinstance(process.started, messages.Failed)
        assert "no such renderer" in process.started.reason
        assert process.started.exit_code == EXIT_RENDERER_UNAVAILABLE
        assert process.process.wait(5) == EXIT_RENDERER_UNAVAILABLE


def test_a_link_that_does_not_begin_with_start_ends_it() -> None:
    with started() as (process, link, _):
        link.sendall(encode(messages.Ping(1)))
        assert process.wait(STARTED_WITHIN) != 0


def test_it_ends_at_once_when_the_session_closes_the_link() -> None:
    with DeviceProcess() as process:
        process.hang_up()
        assert process.process.wait(1) == 0


@contextmanager
def started() -> Iterator[tuple["subprocess.Popen[bytes]", socket.socket, int]]:
    """A device process, its link, and the end of ``life`` that it lives by, to be closed."""
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    command = [sys.executable, "-c", PROGRAM, str(theirs.fileno()), str(reading)]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno(), reading], stderr=subprocess.PIPE)
    os.close(reading)
    with ours, process:
        theirs.close()
        yield process, ours, writing
        process.kill()


@pytest.mark.parametrize("hangs", [False, True])
def test_the_kernel_kills_it_when_the_session_lets_go_of_its_life(hangs: bool) -> None:
    with started() as (process, _, life):
        assert wait_until(lambda: is_armed(process.pid))
        if hangs:
            process.send_signal(signal.SIGSTOP)
        os.close(life)
        assert process.wait(1) == -signal.SIGKILL


def test_one_whose_session_has_gone_before_it_begins_does_not_begin() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with socket.socket(socket.AF_UNIX) as link:
        command = [sys.executable, "-c", PROGRAM, str(link.fileno()), str(reading)]
        process = subprocess.Popen(command, pass_fds=[link.fileno(), reading])
    os.close(reading)
    assert process.wait(STARTED_WITHIN) == -signal.SIGKILL


def is_armed(process_id: int) -> bool:
    """Whether one of its descriptors has O_ASYNC: that of its life."""
    for file in Path(f"/proc/{process_id}/fdinfo").iterdir():
        try:
            flags = file.read_text().partition("flags:")[2].split()[0]
        except FileNotFoundError:
            continue
        if int(flags, 8) & os.O_ASYNC:
            return True
    return False


def test_it_imports_neither_an_event_loop_nor_a_logger() -> None:
    command = [sys.executable, "-c", MODULES]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=STARTED_WITHIN, check=True
    )
    heavy = {"trio", "loguru", "attrs", "attr", "cattrs", "dataclasses", "asyncio", "logging"}
    assert heavy.isdisjoint(ended.stdout.split())


def test_it_needs_little_memory() -> None:
    with DeviceProcess() as process:
        assert proportional_set_size(process.process.pid) < 18 << 20


def test_it_uses_no_processor_when_idle() -> None:
    with DeviceProcess() as process:
        stat = Path(f"/proc/{process.process.pid}/stat")

        def ticks() -> int:
            fields = stat.read_text().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        before = ticks()
        time.sleep(0.5)
        assert ticks() - before <= os.sysconf("SC_CLK_TCK") // 50
