# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a process that was taken over tries to do to others, wherever it runs: all of it fails.

As root and as an ordinary user, in a chroot, and where the kernel's Landlock is Debian 12's.
"""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.daemon.running import sessions
from tests.device.process import opengl_unavailable
from tests.driver import rutabaga
from tests.driver.aftermath import House
from tests.driver.backend import Machine
from tests.driver.bystander import SYSTEM_V, Bystander, state_of, state_of_file
from tests.driver.frontend import Frontend, Request
from tests.driver.hostile_device import ENVIRONMENT, order, order_session
from tests.driver.memory import GuestMemory, MiB
from tests.driver.processes import wait_until

from .allowed import ENDING, FUTEX, PLAIN
from .test_calls import BY_ANY_FILTER, Names

pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else"),
]

NOBODY = 65534
WALLED = """
[device_process]
restarts = 1000
restart_window = 1.0
restart_delay = 0.01
"""
# The socket's path is the last argument; who is nobody may read where the tests lie, as everybody where vgpud is installed.
ORDINARY = f"""
for last; do :; done; chown {NOBODY}:{NOBODY} "$(dirname "$last")"
exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --inh-caps=-all,+dac_read_search \
  --ambient-caps=-all,+dac_read_search "$@"
"""
CHROOT = 'mount --rbind / /mnt && exec unshare --root=/mnt --wd="$PWD" "$@"'
PLACES: dict[str, tuple[str, ...]] = {
    "root": (),
    "user": ("sh", "-c", ORDINARY, "sh"),
    "chroot": ("unshare", "--mount", "--propagation=private", "sh", "-c", CHROOT, "sh"),
}
WHERE = [("root", 0), ("user", 0), ("chroot", 0), ("root", 2), ("user", 2)]
# Nobody listens at the end of the last one: a compositor may always come later.
KINDS = {
    "session": ("--gpu-mode", "2d"),
    "device": ("--gpu-mode", "2d"),
    "graphics": ("--gpu-mode", "virglrenderer"),
    "wayland": ("--gpu-mode", "gfxstream", "--capset", "cross-domain", "--wayland", "/run/nobody/wayland-0"),
}  # fmt: skip
"""Lists of system calls, and of the daemon whose processes have them the options."""


@pytest.fixture(scope="module")
def no_opengl() -> str:
    return opengl_unavailable()


def skip_without_place(place: str) -> None:
    """Where the root is no mount, as in a chroot, there can be no mounts of one's own; all others are in a chroot then."""
    if (
        place == "chroot"
        and subprocess.run([*PLACES[place][:3], "true"], stderr=subprocess.DEVNULL).returncode
    ):
        pytest.skip("no mount namespace of one's own here")


@contextlib.contextmanager
def house_in(place: str, landlock: int, kind: str) -> Iterator[House]:
    """``landlock``: the version that the kernel is to have, 0 for its own."""
    environment = dict(ENVIRONMENT)
    if landlock:
        environment["PYTHON_VGPUD_LANDLOCK"] = str(landlock)
    if kind == "wayland":
        environment["LD_LIBRARY_PATH"] = str(rutabaga.folder())
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as configuration:
        configuration.write(WALLED)
        configuration.flush()
        os.chmod(configuration.name, 0o644)  # noqa: PTH101
        options = ("--config", configuration.name, *KINDS[kind])
        house = House(*options, environment=environment, wrapper=PLACES[place])
        try:
            yield house
        finally:
            house.close()


def system_v() -> list[str]:
    return [path.read_text() for path in SYSTEM_V]


def attack(kind: str, machine: Machine, name: str, others: Sequence[object]) -> None:
    if kind == "session":
        order_session(machine.frontend, name, others)
    else:
        machine.guest.control.wait(order(machine.guest, name, others), 20)


def skip_without_library(kind: str, no_opengl: str) -> None:
    if kind == "graphics" and no_opengl:
        pytest.skip(no_opengl)
    if kind == "wayland" and rutabaga.folder() is None:
        pytest.skip(rutabaga.NOT_BUILT)


@pytest.mark.parametrize(("place", "landlock"), WHERE)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_done_to_others(place: str, landlock: int, kind: str, no_opengl: str) -> None:
    skip_without_library(kind, no_opengl)
    skip_without_place(place)
    with contextlib.ExitStack() as stack:
        house = stack.enter_context(house_in(place, landlock, kind))
        folder = house.socket_path.parent
        bystander = stack.enter_context(Bystander(folder))
        processes = house.tree.processes()
        paths = [*bystander.paths, house.socket_path, folder / f"{house.socket_path.name}.control"]
        before = [*map(state_of, processes), *map(state_of_file, paths), system_v()]
        with house.misdeed(), Machine(house.socket_path, memory=GuestMemory(2 * MiB)) as machine:
            machine.guest.show(machine.guest.create_2d(64, 64))
            said = house.tree.log.count("all is done")
            attack(kind, machine, "all that is done to others", [*processes, *paths])
            assert wait_until(lambda: house.tree.log.count("all is done") > said)
            after = [*map(state_of, processes), *map(state_of_file, paths), system_v()]
            assert after == before
            assert bystander.heard() == b""
            house.check()
        house.end()


@pytest.mark.parametrize("kind", KINDS)
def test_each_process_at_work_has_the_calls_of_its_list(kind: str, no_opengl: str) -> None:
    skip_without_library(kind, no_opengl)
    names = Names()
    untold = {*names.numbers(ENDING | FUTEX), *BY_ANY_FILTER}
    wanted = names.numbers(PLAIN[kind] - ENDING - FUTEX)
    with house_in("root", 0, kind) as house:
        with Machine(house.socket_path, memory=GuestMemory(2 * MiB)) as machine:
            machine.guest.show(machine.guest.create_2d(64, 64))
            attack(kind, machine, "every call", sorted(untold))
            assert wait_until(lambda: "calls made: [" in house.tree.log and "]\n" in house.tree.log)
        line = house.tree.log.partition("calls made: ")[2].partition("\n")[0]
        assert set(ast.literal_eval(line)) == wanted.keys()
        assert "not confined in full" not in house.tree.log


def test_a_session_is_confined_when_no_word_has_come_yet() -> None:
    """Of its VMM there is a byte, which is no message."""
    with house_in("root", 0, "session") as house, socket.socket(socket.AF_UNIX) as end:
        before = set(sessions(house.tree.daemon))
        end.connect(str(house.socket_path))
        end.send(b"\1")
        assert wait_until(lambda: set(sessions(house.tree.daemon)) - before)
        [session] = set(sessions(house.tree.daemon)) - before
        status = Path(f"/proc/{session}/status")
        assert wait_until(lambda: "\nSeccomp:\t2\n" in status.read_text())
        assert "NoNewPrivs:\t1\n" in status.read_text()


def session_of(house: House) -> int:
    """The process of the machine that came last."""
    return int(list(house.tree.machines().values())[-1]["session_process"])


def test_descriptors_that_nobody_reads_keep_no_machine_from_its_own() -> None:
    """The kernel counts them for the user.  The device process's own session does not read, as one that its VMM holds up."""
    with house_in("user", 0, "device") as house:
        with Machine(house.socket_path, memory=GuestMemory(2 * MiB)) as machine:
            machine.guest.show(machine.guest.create_2d(64, 64))
            session = session_of(house)
            os.kill(session, signal.SIGSTOP)
            order(machine.guest, "descriptors under way")
            assert wait_until(lambda: "under way: " in house.tree.log)
            print(house.tree.log)
            house.check()
            os.kill(session, signal.SIGCONT)
        house.everyone_has_left()
        house.end()


def test_a_session_that_lets_descriptors_lie_keeps_no_session_from_coming_and_none_from_work() -> (
    None
):
    """Of those that other sessions send it keeps them, until it ends."""
    with house_in("user", 0, "session") as house:
        with Machine(house.socket_path, memory=GuestMemory(2 * MiB)) as machine:
            machine.guest.show(machine.guest.create_2d(64, 64))
            session = session_of(house)
            machine.frontend.connection.settimeout(0.5)
            with pytest.raises(TimeoutError):
                order_session(machine.frontend, "descriptors under way")
            assert wait_until(lambda: "under way: " in house.tree.log)
            house.witness.check()
            with contextlib.closing(Frontend.connect(house.socket_path)) as newcomer:
                assert newcomer.ask(Request.GET_QUEUE_NUM).u64 == 2
            os.kill(session, signal.SIGKILL)
        house.check()
        house.end()
