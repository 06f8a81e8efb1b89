# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What was recorded of a Vulkan program is read, written and played again as it is."""

import struct
from pathlib import Path

import pytest

from contrib.bench.venus.recording import (
    Commands,
    Create,
    Event,
    Expect,
    Frame,
    MakeRing,
    Poll,
    Submit,
    Write,
    digest,
    load,
    save,
)
from contrib.bench.venus.replay import Replay
from contrib.bench.venus.ring import IDLE, Layout, Ring, WrongStreamError, created_ring

LAYOUT = Layout(7, 1, head=0, tail=64, status=128, buffer=192, size=64)
ROOM = 256


def test_the_recording_has_all_that_a_program_needs() -> None:
    kinds = {type(event) for event in load()}
    assert kinds == {Create, Submit, MakeRing, Commands, Poll, Write, Frame, Expect}
    assert sum(isinstance(event, Frame) for event in load()) == 200


def test_a_ring_is_found_in_the_stream_that_makes_it() -> None:
    events = load()
    at = next(at for at, event in enumerate(events) if isinstance(event, MakeRing))
    stream = events[at - 1]
    assert isinstance(stream, Submit)
    assert MakeRing(**created_ring(stream.data).as_json()) == events[at]


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    save(tmp_path / "again", load())
    assert load(tmp_path / "again") == load()


def test_a_ring_goes_round_and_wakes_a_worker_that_sleeps() -> None:
    memory, streams = memoryview(bytearray(ROOM)), list[bytes]()
    ring = Ring(LAYOUT, memory, streams.append)
    ring.write(bytes(48))
    assert not streams
    ring.head[0], ring.status[0] = 48, IDLE
    ring.write(bytes(range(32)))
    assert bytes(ring.buffer[48:]) + bytes(ring.buffer[:16]) == bytes(range(32))
    assert [struct.unpack("<IIQII", stream) for stream in streams] == [(190, 0, 7, 80, 0)]


class Obedient:
    """A host whose worker executes whatever it is notified of, and does nothing."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(ROOM))
        self.said = list[str]()
        self.statuses = [1, 1, 0]

    def begin(self) -> None:
        self.said.append("begin")

    def create(self, blob: Create) -> memoryview:
        self.memory[LAYOUT.status] = IDLE
        return self.memory

    def unref(self, resource_id: int) -> None:
        self.said.append("unref")

    def submit(self, stream: bytes) -> None:
        self.memory[LAYOUT.head : LAYOUT.head + 4] = self.memory[LAYOUT.tail : LAYOUT.tail + 4]
        struct.pack_into("<Ii", self.memory, 16, 38, self.statuses[0])
        del self.statuses[:1]

    def fence(self) -> None:
        self.said.append("fence")

    def wait(self) -> None:
        self.said.append("wait")

    def end(self) -> None:
        self.said.append("end")


def events(*more: Event) -> list[Event]:
    return [Create(1, 2, 1, ROOM, 0), MakeRing(**LAYOUT.as_json()), *more]


def test_a_fence_is_asked_for_until_it_has_passed() -> None:
    host = Obedient()
    Replay(events(Poll(1, bytes(4), 1, 16)), host).advance(None)
    assert host.statuses == []


def test_a_fence_that_fails_is_an_error() -> None:
    host = Obedient()
    host.statuses = [-4]
    with pytest.raises(WrongStreamError):
        Replay(events(Poll(1, bytes(4), 1, 16)), host).advance(None)


def test_the_fence_of_a_frame_has_passed_when_the_next_has_ended() -> None:
    host = Obedient()
    replay = Replay(events(Frame(), Frame()), host)
    replay.advance(1)
    assert host.said == ["fence"]
    replay.advance(1)
    assert host.said == ["fence", "wait", "fence"]
    replay.settle()
    assert host.said[-1] == "wait"


def test_another_result_is_an_error() -> None:
    right = digest(memoryview(bytearray([0] * 200 + [5] + [0] * 55)))
    host = Obedient()
    host.create = lambda blob: host.memory  # type: ignore[method-assign]
    Replay(events(Write(1, 200, b"\5"), Expect(1, right)), host).advance(None)
    with pytest.raises(WrongStreamError):
        Replay(events(Write(1, 200, b"\6"), Expect(1, right)), host).advance(None)
