# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Of what the kernel counts by user one machine has only a few: it cannot use up what others
need.
"""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from tests.driver import hoard
from tests.driver.aftermath import House
from tests.driver.fleet import Fleet, room_for
from tests.driver.frontend import Request
from tests.driver.hostile_vmm import CONTROL, CURSOR, ENDED, HostileVmm
from tests.driver.memory import PAGE, GuestMemory
from tests.driver.processes import settled
from tests.driver.tree import Tree
from tests.driver.user_counts import user_counts

pytestmark = pytest.mark.timeout(120)

MOST = {
    "pipe-user-pages-soft": 31,
    "max_user_watches of epoll": 32,
    "max_user_instances of inotify": 0,
    "RLIMIT_NPROC": 8,
    "RLIMIT_MEMLOCK": 0,
    "RLIMIT_MSGQUEUE": 0,
    "timers, which are pending signals": 0,
    "pending signals": 0,
    "keys": 0,
}
"""Of one machine with a display in 2D, whatever it does."""


def ring_descriptors(vmm: HostileVmm) -> None:
    for request in (Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR):
        for index in (CONTROL, CURSOR):
            event = os.eventfd(0)
            vmm.frontend.set_vring_fd(request, index, event, ack=True)
            os.close(event)


def displays(vmm: HostileVmm) -> None:
    ours, theirs = socket.socketpair()
    vmm.frontend.set_gpu_socket(theirs)
    ours.close()
    theirs.close()


def backend_channels(vmm: HostileVmm) -> None:
    vmm.frontend.set_backend_channel()


def memory(vmm: HostileVmm) -> None:
    more = GuestMemory(PAGE, first_address=1 << 39)
    vmm.frontend.add_region(more.regions[0])
    vmm.frontend.remove_region(more.regions[0])
    more.close()


def resources(vmm: HostileVmm) -> None:
    for _ in range(8):
        vmm.guest.create_2d(8, 8, backed=False)


@pytest.mark.parametrize(
    "deed",
    [ring_descriptors, displays, backend_channels, memory, resources],
    ids=lambda deed: str(deed.__name__),
)
def test_no_machine_uses_up_what_is_counted_for_its_user(house: House, deed: object) -> None:
    assert callable(deed)
    before_all = set(house.tree.processes())
    outside = user_counts(before_all)
    with house.misdeed(), HostileVmm(house.socket_path) as vmm:
        vmm.start()
        for _ in range(60):
            with contextlib.suppress(*ENDED):
                deed(vmm)
        tree = house.tree
        assert settled(lambda: len(tree.processes())) == len(before_all) + 2
        # The daemon's and the spawner's own for it are among them.
        now = user_counts(tree.processes())
        mine = {name: now[name] - outside[name] for name in now}
        assert {name for name, most in MOST.items() if mine[name] > most} == set(), mine
        assert mine["pipe-user-pages-soft"] >= 14


ORDINARY_USER = 64322
# Who may read where the tests lie, as everybody may where vgpud is installed.
AS_ORDINARY_USER = f"""
for path; do :; done
chown {ORDINARY_USER} "$(dirname "$path")"
exec setpriv --reuid {ORDINARY_USER} --regid {ORDINARY_USER} --clear-groups \
  --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search "$@"
"""


def test_an_ordinary_user_without_pages_for_pipes_runs_machines_all_the_same() -> None:
    if reason := hoard.why_not():
        pytest.skip(reason)
    wrapper = ("sh", "-c", AS_ORDINARY_USER, "sh")
    with (
        hoard.no_pipe_pages(ORDINARY_USER),
        Tree("--socket-mode", "0666", wrapper=wrapper) as tree,
        room_for(5),
    ):
        assert tree.listens(), tree.log
        with Fleet(tree.socket_path, 5) as fleet:
            assert fleet.blind() == []
            assert user_counts(tree.processes())["pipe-user-pages-soft"] < 5 * 15
