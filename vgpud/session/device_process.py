# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One device process, from its start until it is gone."""

import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio
from loguru import logger

import vgpud
from vgpud.link.limited_log import LimitedLog
from vgpud.link.trio_connection import TrioConnection

# How long a process may take to end by itself when its link is closed: SIGTERM is to end all of
# this within a second.
GRACE_SECONDS = 0.3

# What graphics libraries, the interpreter and sanitizers are told by; nothing else is passed on.
ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "LIBGL",
    "DRI_PRIME",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DISPLAY",
    "XAUTHORITY",
)
ENVIRONMENT_PREFIXES = (
    "LC_", "XDG_", "PYTHON", "MESA_", "GALLIUM_", "LIBGL_", "EGL_", "__EGL_", "__GLX_", "VK_",
    "VN_", "VIRGL_", "VREND_", "DRI_", "LP_", "ASAN_", "UBSAN_", "LLVM_",
)  # fmt: skip


# What it writes on standard error: tracebacks, a sanitizer's report, what graphics libraries have to say.
LINES_AT_ONCE = 200
LINES_PER_SECOND = 5.0
LINE_BYTES = 1024
PRIORITIES = {"<3>": "ERROR", "<4>": "WARNING", "<6>": "INFO", "<7>": "DEBUG"}
LAST_WORDS_SECONDS = 0.2


MODULE = "vgpud.device"
"""Where a line in the log comes from that a device process has given."""


class DeviceProcess:
    """``link`` speaks to it; nobody reads the link before ``run`` of it is called."""

    def __init__(self, process: trio.Process, link: TrioConnection) -> None:
        self.link = link
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """For one that does not answer: the end of its link follows."""
        self._process.kill()

    async def ended(self) -> str:
        """How it ended, for the log; waits for that."""
        status = await self._process.wait()
        return f"signal {-status}" if status < 0 else f"status {status}"


@asynccontextmanager
async def device_process() -> AsyncIterator[DeviceProcess]:
    """Starts a device process; when the context ends it is gone, reaped, and its link closed."""
    ours, theirs = socket.socketpair()
    link = TrioConnection(ours)
    try:
        # Shielded, or a process could be started that nobody knows of.
        with theirs, trio.CancelScope(shield=True):
            process = await _start(theirs.fileno())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_log_lines, process)
            try:
                yield DeviceProcess(process, link)
            finally:
                link.close()
                await _end(process)
                # Somebody whom it started may hold the pipe open.
                nursery.cancel_scope.deadline = trio.current_time() + LAST_WORDS_SECONDS
    finally:
        link.close()


async def _start(link_fd: int) -> trio.Process:
    return await trio.lowlevel.open_process(
        [sys.executable, "-P", "-m", "vgpud.device", "--link-fd", str(link_fd)],
        pass_fds=[link_fd],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
    )


async def _log_lines(process: trio.Process) -> None:
    """Its lines become ours, and name the machine as others do."""
    bound = logger.bind(module=MODULE, device_process=process.pid)

    def write(line: str) -> None:
        priority = PRIORITIES.get(line[:3])
        bound.log(priority or "WARNING", "{}", line[3:] if priority else line)

    log = LimitedLog(write, LINES_AT_ONCE, LINES_PER_SECOND)
    rest = b""
    if process.stderr is None:
        return
    async with process.stderr:
        while data := await process.stderr.receive_some():
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in filter(None, lines):
                log.write(line[:LINE_BYTES].decode(errors="replace"))
    if rest:
        log.write(rest.decode(errors="replace"))


async def _end(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        with trio.move_on_after(GRACE_SECONDS):
            await process.wait()
        # It may end in between.
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def environment() -> dict[str, str]:
    """What of this process's environment a device process gets."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ENVIRONMENT or name.startswith(ENVIRONMENT_PREFIXES)
    }
    place = str(Path(vgpud.__file__).parent.parent)
    if place not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        # Not installed: -P leaves out the current folder, where a stranger may have put a vgpud.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [place, kept.get("PYTHONPATH")]))
    return kept
