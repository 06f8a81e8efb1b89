# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A guest may have taken its device process over: that costs only this guest its device."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from loguru import logger

from vgpud.config.schema import Config, DeviceProcess
from vgpud.errors import RendererError
from vgpud.session import supervisor
from vgpud.session.session import serve_frontend

from ..daemon.running import children, wait_until
from ..driver.frontend import Frontend, Request
from .executed import ExecutedDevices

CONFIG = Config(device_process=DeviceProcess(restarts=2, restart_window=60.0, restart_delay=0.01))

# What each begins with: it answers Start, as an honest one does, and then is anything but that.
BEGINNING = """
import os, select, socket, struct, sys
from vgpud.link import messages as m
from vgpud.link.connection import Connection
link = Connection(int(sys.argv[1]))
def drain(handler):
    poll = select.poll()
    poll.register(link, select.POLLIN)
    poll.poll()
    link.drain(handler)
def start(message, descriptors):
    link.send(m.Started((), 6, "wicked", False, message.serial))
drain(start)
raw = socket.socket(fileno=os.dup(link.fileno()))
image = os.memfd_create("no image")
"""
MISDEEDS = {
    "noise": "raw.sendall(os.urandom(100000))",
    "a header of 4 GiB": "raw.sendall(struct.pack('=4I', 20, 2**32 - 1, 2**32 - 1, 0))",
    "an unknown kind": "raw.sendall(struct.pack('=4I', 9999, 0, 0, 0))",
    "text that is no JSON": "raw.sendall(struct.pack('=4I', 20, 4, 0, 0) + b'{{{{')",
    "deep JSON": "raw.sendall(struct.pack('=4I', 20, 60000, 0, 0) + b'[' * 60000)",
    "what a daemon says": "link.send(m.Ping(1))",
    "backing of nothing": "link.send(m.BackingAttached(7, b''))",
    "an image that is none": "link.send(m.ResourceCreated(1, 1, 64, 64), [image])",
    "an image of 2^32 pixels": "link.send(m.ResourceCreated(1, 1, 2**32 - 1, 2**32 - 1), [image])",
    "numbers beyond 32 bits": "link.send(m.ResourceCreated(2**63, 2**63, 2**63, 2**63), [image])",
    "questions without end": "[link.send(m.GetDisplayInfo(n)) for n in range(100000)]",
    "questions about no scanout": "[link.send(m.GetEdid(n, 2**63)) for n in range(100)]",
    "answers to nobody": "[link.send(m.Done(n)) for n in range(100)]",
    "a log of strange levels": "[link.send(m.Log('EVIL{}', '{x} <red>')) for n in range(100)]",
    "descriptors without end": (
        "[socket.send_fds(raw, [b'x'], [image] * 200) for n in range(100)]"
    ),
    "mapping where nothing can be mapped": "link.send(m.MapBlob(1, 1, 0, 4096, 0), [image])",
    "unmapping where nothing can be mapped": "link.send(m.UnmapBlob(1, 1))",
    "a picture of no scanout": "link.send(m.PictureMade(16, 8, 8), [image])",
    "a picture beyond 32 bits": "link.send(m.PictureMade(0, 2**32, 8), [image])",
    "pictures without end": "[link.send(m.PictureMade(0, 8, 8), [image]) for n in range(10000)]",
    "an end of what was not shown": "link.send(m.PictureGone(3))",
    "its end": "pass",
}


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lambda line: lines.append(str(line)), format="{message}")
    yield lines
    logger.remove(handler)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("misdeed", list(MISDEEDS))
async def test_the_front_end_is_answered_whatever_its_device_process_does(
    log: list[str], misdeed: str
) -> None:
    devices = ExecutedDevices(BEGINNING + MISDEEDS[misdeed])
    before = open_descriptors()
    ours, theirs = socket.socketpair()

    def talk() -> None:
        frontend = Frontend(ours, timeout=20)
        assert frontend.ask_u64(Request.GET_FEATURES)
        assert wait_until(lambda: any("given up" in line for line in log), 20)
        assert frontend.ask_u64(Request.GET_QUEUE_NUM) == 2
        assert frontend.get_vring_base(0) == 0
        frontend.close()

    with ours:
        async with trio.open_nursery() as nursery:
            end = trio.socket.from_stdlib_socket(theirs)
            nursery.start_soon(serve_frontend, end, CONFIG, devices)
            await trio.to_thread.run_sync(talk)
    assert not any("mistake in this program" in line for line in log)
    assert children(os.getpid()) == []
    # (Fewer, when something of an earlier test has been collected meanwhile.)
    assert open_descriptors() <= before


async def test_one_that_never_starts_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    sleeping = ExecutedDevices("import time; time.sleep(60)")
    monkeypatch.setattr(supervisor, "START_SECONDS", 0.3)
    ours, theirs = socket.socketpair()
    end = trio.socket.from_stdlib_socket(theirs)
    with ours, trio.fail_after(10), pytest.raises(RendererError):
        await serve_frontend(end, CONFIG, sleeping)
    assert any("does not answer Start" in line for line in log)
