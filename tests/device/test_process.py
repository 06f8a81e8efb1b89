# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How a device process starts, what it needs, and that it never outlives its daemon."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vgpud.errors import EXIT_INTERNAL, EXIT_RENDERER_UNAVAILABLE
from vgpud.link import messages
from vgpud.link.codec import encode
from vgpud.wire import virtio_gpu as wire

from .process import DeviceProcess, proportional_set_size, wait_until

MODULES = (
    "import sys; import vgpud.device.__main__, vgpud.device.renderers.software_2d;"
    " print(*sys.modules)"
)


def test_it_says_what_its_renderer_can_do() -> None:
    with DeviceProcess("2d") as process:
        assert process.started == messages.Started(
            num_capsets=0,
            device_features=1 << wire.VIRTIO_GPU_F_EDID | 1 << wire.VIRTIO_GPU_F_RESOURCE_UUID,
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


@pytest.mark.parametrize("arguments", [[], ["--link-fd"], ["--link-fd", "x"], ["--help"]])
def test_whoever_starts_it_by_hand_is_told_so(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "vgpud.device", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=10)
    assert ended.returncode == EXIT_INTERNAL
    assert ended.stderr.count("\n") == 1


def test_a_link_that_does_not_begin_with_start_ends_it() -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "vgpud.device", "--link-fd", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE)
    with ours, theirs, process:
        ours.sendall(encode(messages.Ping(1)))
        assert process.wait(10) != 0


def test_it_ends_at_once_when_the_daemon_closes_the_link() -> None:
    with DeviceProcess() as process:
        process.hang_up()
        assert process.process.wait(1) == 0


# A daemon whose link stays open in the test, so that only the parent's death can tell.
DAEMON = """
import subprocess, sys, time
link = sys.argv[1]
command = [sys.executable, "-m", "vgpud.device", "--link-fd", link]
process = subprocess.Popen(command, pass_fds=[int(link)])
print(process.pid, flush=True)
time.sleep(60)
"""


def _is_running(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_dies_with_a_daemon_that_is_killed() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", DAEMON, str(theirs.fileno())]
        daemon = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE)
        with daemon:
            assert daemon.stdout is not None
            device = int(daemon.stdout.readline())
            assert _is_running(device)
            _wait_until_it_follows(device)
            daemon.kill()
            daemon.wait()
            assert wait_until(lambda: not _is_running(device), 1)


# As trio does it: the thread that started the process goes, the daemon stays.
THREAD = """
import subprocess, sys, threading, time
link = sys.argv[1]
command = [sys.executable, "-m", "vgpud.device", "--link-fd", link]
started = []
start = lambda: (started.append(subprocess.Popen(command, pass_fds=[int(link)])), time.sleep(0.5))
thread = threading.Thread(target=start)
thread.start()
thread.join()
print(started[0].pid, flush=True)
time.sleep(60)
"""


def test_it_lives_on_when_only_the_thread_that_started_it_ends() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", THREAD, str(theirs.fileno())]
        daemon = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE)
        with daemon:
            assert daemon.stdout is not None
            device = int(daemon.stdout.readline())
            _wait_until_it_follows(device)
            time.sleep(0.2)
            assert _is_running(device)
            daemon.kill()
            daemon.wait()
            assert wait_until(lambda: not _is_running(device), 1)


def _wait_until_it_follows(process_id: int) -> None:
    """Until it catches SIGHUP, which the kernel sends when its parent ends."""

    def follows() -> bool:
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
        caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
        return bool(caught & 1 << (signal.SIGHUP - 1))

    assert wait_until(follows)


def test_it_imports_neither_an_event_loop_nor_a_logger() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", MODULES], capture_output=True, text=True, timeout=10, check=True
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
