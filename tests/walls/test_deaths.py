# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Any process may be killed or hang: what that costs is one machine at most, and a device costs none.

In the tree the daemon's only child is the spawner, whose children are a session and a device for each machine.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import permutations
from pathlib import Path

import pytest

from tests.driver.aftermath import newcomer
from tests.driver.commands import DISPLAY_INFO_SIZE, get_display_info
from tests.driver.processes import alive, children, parent, stopped, wait_until
from tests.driver.tree import Fields, NoAnswerError, Tree
from tests.driver.witness import Witness

pytestmark = pytest.mark.timeout(90)

MACHINES = 10
STARTING_SECONDS = 30.0
REPLACED_SECONDS = 15.0
HANGING_SECONDS = 40.0
CONFIGURATION = """
[device_process]
restarts = 1000
restart_window = 1.0
restart_delay = 0.01
"""
PARTS = ("daemon", "spawner", "session", "device")


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "vgpud.toml"
    path.write_text(CONFIGURATION)
    return path


@pytest.fixture
def tree(configuration: Path) -> Iterator[Tree]:
    with Tree("--config", str(configuration)) as made:
        yield made


class Household:
    """A daemon's machines: one that something is done to, and one that it is not."""

    def __init__(self, tree: Tree, stack: ExitStack) -> None:
        self.tree = tree
        # It listens before it has imported all that it needs, and some tests begin several.
        assert tree.listens(STARTING_SECONDS)
        self.other = stack.enter_context(Witness(tree.socket_path))
        self.victim = stack.enter_context(Witness(tree.socket_path))
        self.other_name, self.victim_name = tree.machines()

    def process(self, part: str) -> int:
        """Of the victim, where each machine has one."""
        if part == "daemon":
            return self.tree.daemon
        if part == "spawner":
            return spawner(self.tree)
        return int(self.tree.machines()[self.victim_name][f"{part}_process"])

    def kill(self, parts: tuple[str, ...]) -> dict[str, int]:
        """In this order, nothing in between; which processes that were."""
        killed = {part: self.process(part) for part in parts}
        for part in parts:
            if part == "daemon":
                self.tree.kill_daemon()
            else:
                # A device ends with its session, and may be reaped by now.
                with suppress(ProcessLookupError):
                    os.kill(killed[part], signal.SIGKILL)
        assert wait_until(lambda: not any(alive(one) for one in killed.values()))
        return killed


@pytest.fixture
def household(tree: Tree) -> Iterator[Household]:
    with ExitStack() as stack:
        yield Household(tree, stack)


def spawners(tree: Tree) -> set[int]:
    """Children of the daemon that are no machine's: those of a spawner that was killed may be its children too."""
    machines = tree.machines().values()
    parts = {fields.get(f"{part}_process") for fields in machines for part in ("session", "device")}
    return set(children(tree.daemon)) - parts


def spawner(tree: Tree) -> int:
    [only] = spawners(tree)
    return only


def processes(machines: dict[str, Fields]) -> dict[str, tuple[object, object]]:
    return {
        name: (fields["session_process"], fields["device_process"])
        for name, fields in machines.items()
    }


def machines_are(tree: Tree, names: set[str], seconds: float = 5.0) -> bool:
    def are() -> bool:
        with suppress(NoAnswerError):
            return tree.machines().keys() == names
        return False

    return wait_until(are, seconds)


# --- the tree itself


def test_the_daemon_s_only_child_has_all_others_as_its_children(household: Household) -> None:
    tree = household.tree
    [only] = children(tree.daemon)
    for session, device in processes(tree.machines()).values():
        assert parent(int(str(session))) == only
        assert parent(int(str(device))) == only
    assert all(fields["answers"] is True for fields in tree.machines().values())


# --- the daemon


def test_the_daemon_s_death_costs_no_machine_a_frame_and_the_next_one_has_them(tree: Tree) -> None:
    with ExitStack() as stack:
        witnesses = [stack.enter_context(Witness(tree.socket_path)) for _ in range(MACHINES)]
        before = processes(tree.machines())
        tree.kill_daemon()
        for _ in range(3):
            for witness in witnesses:
                witness.check()
        tree.start_again()
        assert tree.listens()
        assert wait_until(lambda: processes(tree.machines()) == before)
        for witness in witnesses:
            witness.check()
        newcomer(tree.socket_path)
        assert tree.terminate() < float("inf")


def test_a_machine_that_leaves_while_there_is_no_daemon_leaves_nothing(tree: Tree) -> None:
    with Witness(tree.socket_path) as stays:
        leaves = Witness(tree.socket_path)
        name, gone = tree.machines()
        own = processes(tree.machines())[gone]
        tree.kill_daemon()
        leaves.close()
        assert wait_until(lambda: not any(alive(int(str(one))) for one in own))
        stays.check()
        tree.start_again()
        assert tree.listens()
        assert machines_are(tree, {name})
        stays.check()


def test_daemons_may_die_one_after_the_other(household: Household) -> None:
    tree = household.tree
    before = processes(tree.machines())
    for _ in range(3):
        tree.kill_daemon()
        household.other.check()
        tree.start_again()
        assert tree.listens()
        assert wait_until(lambda: processes(tree.machines()) == before)
    newcomer(tree.socket_path)
    assert tree.terminate() < float("inf")


# --- one, and two in each order

PAIRS = list(permutations(PARTS, 2))
CASES = [(part,) for part in PARTS] + PAIRS


@pytest.mark.parametrize("parts", CASES, ids=[" and ".join(case) for case in CASES])
def test_who_is_not_killed_goes_on_and_who_can_be_replaced_is(
    household: Household, parts: tuple[str, ...]
) -> None:
    tree = household.tree
    own = processes(tree.machines())[household.victim_name]
    killed = household.kill(parts)
    household.other.check()
    if "daemon" in parts:
        tree.start_again()
        assert tree.listens()
    _the_spawner_is_another(tree, killed.get("spawner"))
    newcomer(tree.socket_path)
    if "session" in parts:
        _the_machine_is_gone(household, own)
    else:
        _the_machine_goes_on(household, killed.get("device"))
    household.other.check()
    assert tree.terminate() < float("inf")


def _the_spawner_is_another(tree: Tree, before: int | None) -> None:
    def is_there() -> bool:
        found = spawners(tree)
        return len(found) == 1 and found != {before}

    assert wait_until(is_there, REPLACED_SECONDS)


def _the_machine_is_gone(household: Household, own: tuple[object, object]) -> None:
    """With its device, and nobody else."""
    assert wait_until(lambda: not any(alive(int(str(one))) for one in own))
    assert machines_are(household.tree, {household.other_name})
    assert household.victim.machine.frontend.disconnected()


def _the_machine_goes_on(household: Household, device: int | None) -> None:
    """Its guest may have lost the command that was in flight, and draws again."""

    def has_a_device() -> bool:
        fields = household.tree.machines().get(household.victim_name, {})
        return fields.get("device_process") not in (None, device)

    assert wait_until(has_a_device, REPLACED_SECONDS)
    household.victim.check()


# --- those that hang


BEFORE: list[tuple[str, ...]] = [(), ("spawner",), ("daemon",), ("daemon", "spawner")]


def test_a_device_that_hangs_is_killed_and_replaced_whoever_died_before(
    configuration: Path,
) -> None:
    """All at once, since it takes its time to be sure that one hangs."""
    with ExitStack() as stack:
        trees = [stack.enter_context(Tree("--config", str(configuration))) for _ in BEFORE]
        households = [Household(tree, stack) for tree in trees]
        hanging = [_hang(*case) for case in zip(households, BEFORE, strict=True)]
        for household in households:
            household.other.check()
            # Its guest wants something of it.
            household.victim.machine.guest.submit(get_display_info(), DISPLAY_INFO_SIZE)
        found = wait_until(lambda: not any(map(alive, hanging)), HANGING_SECONDS)
        assert found, [name for name, one in zip(BEFORE, hanging, strict=True) if alive(one)]
        for household, device in zip(households, hanging, strict=True):
            _the_machine_goes_on(household, device)
            household.other.check()
            assert household.tree.terminate() < float("inf")


def _hang(household: Household, before: tuple[str, ...]) -> int:
    """Kills those, and then stops the device."""
    device = household.process("device")
    household.kill(before)
    if "daemon" in before:
        household.tree.start_again()
        assert household.tree.listens()
    os.kill(device, signal.SIGSTOP)
    assert wait_until(lambda: stopped(device))
    return device


def test_a_session_that_hangs_is_shown_as_one_that_does_not_answer(household: Household) -> None:
    tree = household.tree
    session = household.process("session")
    os.kill(session, signal.SIGSTOP)
    assert wait_until(lambda: stopped(session))
    household.other.check()
    fields = tree.status(10)["machines"]
    [hangs] = [one for one in fields if one["name"] == household.victim_name]
    [works] = [one for one in fields if one["name"] == household.other_name]
    assert works["answers"] is True
    assert hangs["answers"] is False
    assert hangs.keys() == {
        "name", "number", "lasting_name", "seconds", "session_process", "processes", "answers", "log_lines_left_out",
    }  # fmt: skip
    assert hangs["session_process"] == session
    newcomer(tree.socket_path)
    household.other.check()
    assert tree.terminate() < float("inf")


def test_a_spawner_that_hangs_is_no_machine_s_trouble(household: Household) -> None:
    """New machines cannot connect for a while, but SIGTERM still ends everything."""
    tree = household.tree
    hangs = spawner(tree)
    os.kill(hangs, signal.SIGSTOP)
    assert wait_until(lambda: stopped(hangs))
    household.other.check()
    household.victim.check()
    assert len(tree.machines()) == 2
    assert tree.terminate() < float("inf")


@pytest.mark.parametrize("part", ["session", "device", "spawner"])
def test_sigterm_ends_all_whatever_hangs(household: Household, part: str) -> None:
    os.kill(household.process(part), signal.SIGSTOP)
    assert household.tree.terminate() < float("inf")
