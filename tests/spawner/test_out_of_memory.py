# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the kernel says of the processes that it has killed for want of memory."""

from pathlib import Path

import pytest

from vgpud.spawner.out_of_memory import OutOfMemoryKills


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """The events of the group that this process is said to be in."""
    group = tmp_path / "system.slice" / "vgpud.service"
    group.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/system.slice/vgpud.service\n")
    return group / "memory.events"


def kills(tmp_path: Path) -> OutOfMemoryKills:
    return OutOfMemoryKills(groups=tmp_path, own_groups=tmp_path / "own")


def test_each_kill_is_told_once(events: Path, tmp_path: Path) -> None:
    events.write_text("low 0\nmax 12\noom 3\noom_kill 3\noom_group_kill 0\n")
    counted = kills(tmp_path)
    assert not counted.more()
    events.write_text("low 0\nmax 14\noom 4\noom_kill 4\noom_group_kill 0\n")
    assert counted.more()
    assert not counted.more()


@pytest.mark.parametrize("text", ["", "oom_kill\n", "oom_kill many\n", "low 0\n"])
def test_events_that_say_nothing_of_kills_are_no_kills(
    events: Path, tmp_path: Path, text: str
) -> None:
    events.write_text(text)
    assert not kills(tmp_path).more()


def test_without_a_memory_controller_nobody_counts(events: Path, tmp_path: Path) -> None:
    assert not events.exists()
    assert not kills(tmp_path).more()


@pytest.mark.parametrize("own", [None, "", "1:name=systemd:/\n"])
def test_without_a_group_of_version_2_nobody_counts(tmp_path: Path, own: str | None) -> None:
    if own is not None:
        (tmp_path / "own").write_text(own)
    assert not kills(tmp_path).more()
