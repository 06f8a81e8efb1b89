# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a device process that was taken over can still do: little."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from vgpud.link import messages

from .process import DeviceProcess

X86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of its calls")
LANDLOCK_CREATE_RULESET, VERSION = 444, 1
# Confines itself as a device process does, then tries things, of which one is given.
TRY = """
import ctypes, errno, fcntl, os, resource, socket, subprocess, sys, threading
from vgpud.walls import landlock, seccomp
ready = threading.Event()
results = []
def other_thread():
    ready.wait()
    attempt()
def call(*numbers):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*map(ctypes.c_long, numbers)) < 0:
        raise OSError(ctypes.get_errno(), "")
def attempt():
    try:
        exec(sys.argv[1], globals())
        results.append("done")
    except OSError as error:
        refused = error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS)
        results.append("refused" if refused else str(error))
thread = threading.Thread(target=other_thread)
landlock.confine_to_graphics("")
thread.start()
seccomp.confine("graphics")
attempt()
ready.set()
thread.join()
print(*results)
"""


def landlock_version() -> int:
    libc = ctypes.CDLL(None)
    return int(libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), VERSION))


def attempt(what: str) -> str:
    """How it ended, in the main thread and in one that ran when the calls were confined."""
    done = subprocess.run(
        [sys.executable, "-c", TRY, what], capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout.strip() or done.stderr


pytestmark = pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock")


@pytest.mark.parametrize(
    "what",
    [
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_INET)",
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), 0)",
        "open('/etc/vgpud-test', 'w')",
        "open('/dev/shm/vgpud-test', 'w')",
        "os.mkdir('/tmp/vgpud-test')",
        "os.listdir('/run')",
        "os.listdir('/var')",
        "open('/dev/tty0', 'w')",
        "os.fork()",
        "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))",
        "os.sched_setaffinity(os.getppid(), {0})",
        "os.sched_setscheduler(os.getppid(), os.SCHED_OTHER, os.sched_param(0))",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
        "fcntl.fcntl(0, 10, 9)",  # F_SETSIG
        pytest.param(
            "call(72, 0, 0x10000000A, 9)", marks=X86_64
        ),  # with bits that are not looked at
        pytest.param("call(234, os.getppid(), os.getppid(), 0)", marks=X86_64),  # tgkill
        pytest.param("call(29, 0, 4096, 0o1600)", marks=X86_64),  # shmget
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "os.chmod('/tmp', 0o1777)",
        "os.truncate('/tmp/nothing', 0)",
        "os.setpriority(os.PRIO_PGRP, 0, 5)",
        "os.setpriority(os.PRIO_USER, 0, 5)",
        "fcntl.ioctl(0, 0x8901, b'\\1\\0\\0\\0')",  # FIOSETOWN
        "socket.socketpair()",
        "os.pipe()",
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    ],
)
def test_it_cannot(what: str) -> None:
    assert attempt(what) == "refused refused"


@pytest.mark.parametrize(
    "what",
    [
        "os.open('/dev/null', os.O_WRONLY)",
        "open('/proc/cpuinfo').read()",
        "os.listdir('/usr/lib')",
        "os.memfd_create('picture')",
        "threading.Thread(target=int).start()",
        "os.sched_getaffinity(0)",
        "os.setpriority(os.PRIO_PROCESS, 0, 5)",
        "resource.getrlimit(resource.RLIMIT_CORE)",
    ],
)
def test_it_can(what: str) -> None:
    assert attempt(what) == "done done"


def test_a_device_process_is_confined_and_has_nothing_to_say_of_it() -> None:
    with DeviceProcess() as process:
        status = Path(f"/proc/{process.process.pid}/status").read_text()
        assert "NoNewPrivs:\t1\n" in status
        assert "Seccomp:\t2\n" in status
        assert not [message for message in process.told if isinstance(message, messages.Log)]
