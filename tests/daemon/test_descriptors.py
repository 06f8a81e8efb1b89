# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Descriptors run out only for whoever asks for one more."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from ..driver import commands
from ..driver.backend import Machine
from ..driver.commands import ResponseType
from ..driver.frontend import Frontend
from ..driver.memory import GuestMemory, MiB
from ..driver.tree import Tree
from ..driver.waiting import readable
from .running import show

OK, OUT_OF_MEMORY = ResponseType.OK_NODATA, ResponseType.ERR_OUT_OF_MEMORY


@pytest.mark.timeout(60)
def test_a_daemon_without_descriptors_lets_the_next_wait_and_serves_who_is_there() -> None:
    with Tree(wrapper=("prlimit", "--nofile=100")) as tree, ExitStack() as ends:
        assert tree.listens()
        used = tree.status()["limits"]["descriptors"]
        assert used["limit"] == 100
        witness = ends.enter_context(Machine(tree.socket_path, memory=GuestMemory(2 * MiB)))
        served: list[Frontend] = []
        while len(served) < 20:
            frontend = Frontend.connect(tree.socket_path, timeout=1)
            ends.callback(frontend.close)
            frontend.send(1)
            if not readable(frontend.connection, 3):
                break
            served.append(frontend)
        assert 3 <= len(served) < 20
        assert "Too many open files; the connection waits" in tree.log
        show(witness)
        # The waiting connection is served as soon as there is room.
        served.pop().close()
        assert readable(frontend.connection, 5)
        assert frontend.receive(1).payload
        show(witness)


def test_a_guest_with_many_images_is_told_that_there_is_no_room_for_more() -> None:
    with (
        Tree(wrapper=("prlimit", "--nofile=700")) as tree,
        Machine(tree.socket_path) as machine,
        Machine(tree.socket_path) as other,
    ):
        show(other)
        show(machine)
        requests = (commands.resource_create_2d(each, 1, 1, 1) for each in range(100, 500))
        answers = [machine.guest.ask(request).type for request in requests]
        # A device process has half of the daemon's, and half of those are for images; one is shown.
        assert answers == [*[OK] * 174, *[OUT_OF_MEMORY] * 226]
        first, second = tree.machines().values()
        assert first["limits"]["images"] == {"used": 175, "limit": 175}
        assert second["limits"]["images"] == {"used": 1, "limit": 175}
        for number in range(100, 120):
            machine.guest.do(commands.resource_unref(number))
        show(machine)
        show(other)
        assert "descriptors were lost" not in tree.log
        assert tree.status()["machines"][0]["restarts"] == 0
