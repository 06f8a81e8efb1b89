# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A program: takes on the profiles that a process of a KIND has, tries what a process can try, and prints as JSON what came of each:
0 or an errno.  FOLDER is for sockets.  An empty kind is confined by nothing.
"""

import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from vgpud.walls import apparmor

CURRENT = Path("/proc/self/attr/current")
SPAWNED = ("session", "device", "view", "render-server")


def enter(kind: str) -> None:
    CURRENT.write_text(f"changeprofile {apparmor.BASE}")
    for one in ("spawner", kind) if kind in SPAWNED else (kind,):
        apparmor.confine(one)


def listen(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(folder / f"{os.getpid()}.sock"))


def internet(_: Path) -> None:
    socket.socket(socket.AF_INET).close()


def netlink(_: Path) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()


def in_child(work: Callable[[], object]) -> int:
    """The number of a child that does it, and waits then."""
    number = os.fork()
    if not number:
        try:
            work()
        finally:
            os._exit(0)
    return number


def kill_child(_: Path) -> None:
    """One that is confined as we are."""
    reading, writing = os.pipe()

    def wait() -> None:
        os.close(writing)
        os.read(reading, 1)

    number = in_child(wait)
    try:
        os.kill(number, signal.SIGKILL)
    finally:
        os.close(writing)
        os.waitpid(number, 0)


def abort(_folder: Path) -> None:
    """As a failed assertion does; what follows when no signal can be sent ends in another way."""
    _, status = os.waitpid(in_child(os.abort), 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGABRT:
        raise PermissionError(errno.EACCES, "no SIGABRT")


def execute(_: Path) -> None:
    os.waitpid(os.posix_spawn("/usr/bin/true", ["true"], {}), 0)


def execute_python(_: Path) -> None:
    os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", ""], {}), 0)


TRIED: dict[str, Callable[[Path], object]] = {
    "listen": listen,
    "read the configuration": lambda _: Path("/etc/vgpud/tried.toml").read_text(),
    "read secrets": lambda _: Path("/etc/shadow").read_text(),
    "write": lambda _: Path("/tmp/tried").write_text(""),
    "use memory": lambda _: Path(f"/dev/shm/{os.getpid()}").write_text(""),
    "look at devices": lambda _: list(Path("/sys/class").iterdir()),
    "internet": internet,
    "netlink": netlink,
    "kill": kill_child,
    "kill others": lambda _: os.kill(1, signal.SIGCONT),
    "abort": abort,
    "execute": execute,
    "execute python": execute_python,
    "leave": lambda _: CURRENT.write_text("changeprofile unconfined"),
}


def try_all(folder: Path) -> dict[str, int]:
    found = {}
    for name, work in TRIED.items():
        try:
            work(folder)
        except OSError as error:
            found[name] = error.errno or -1
        else:
            found[name] = 0
    return found


if __name__ == "__main__":
    _, kind, folder = sys.argv
    if kind:
        enter(kind)
    print(json.dumps(try_all(Path(folder))))
