# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The two ends of the link against each other, over a real socket."""

import gc
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from vgpud.link import messages
from vgpud.link.codec import LinkClosedError, encode
from vgpud.link.connection import Connection
from vgpud.link.fields import LinkError
from vgpud.link.trio_connection import RequestFailedError, TrioConnection

Received = tuple[messages.Message, list[int]]


def _open_descriptors() -> int:
    gc.collect()  # other tests' memory maps, which have descriptors too
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(autouse=True)
def no_descriptor_is_leaked() -> Iterator[None]:
    before = _open_descriptors()
    yield
    assert _open_descriptors() == before


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    device, daemon = socket.socketpair()
    connection = Connection(device.detach())
    with daemon:
        yield connection, daemon
        connection.close()


def _file(tmp_path: Path, text: str) -> int:
    path = tmp_path / text
    path.write_text(text)
    return os.open(path, os.O_RDONLY)


async def _ignore(message: messages.Report, descriptors: list[int]) -> None:
    pass


def test_draining_an_empty_link_returns_at_once(ends: tuple[Connection, socket.socket]) -> None:
    received: list[Received] = []
    ends[0].drain(lambda message, descriptors: received.append((message, descriptors)))
    assert received == []


def test_descriptors_arrive_with_their_message_and_are_closed_after_it(
    ends: tuple[Connection, socket.socket], tmp_path: Path
) -> None:
    device, daemon = ends
    first, second = _file(tmp_path, "first"), _file(tmp_path, "second")
    region = messages.MemoryRegion(0, 4096, 0, 0)
    data = encode(messages.Reset()) + encode(messages.SetMemory((region, region)))
    socket.send_fds(daemon, [data], [first, second])
    os.close(first)
    os.close(second)
    seen = []

    def see(message: messages.Message, descriptors: list[int]) -> None:
        seen.append((type(message), [os.read(descriptor, 10) for descriptor in descriptors]))
        assert not any(map(os.get_inheritable, descriptors))

    device.drain(see)
    assert seen == [(messages.Reset, []), (messages.SetMemory, [b"first", b"second"])]


def test_descriptors_are_closed_when_the_handling_fails(
    ends: tuple[Connection, socket.socket], tmp_path: Path
) -> None:
    device, daemon = ends
    file = _file(tmp_path, "file")
    region = messages.MemoryRegion(0, 4096, 0, 0)
    socket.send_fds(daemon, [encode(messages.AddMemory(region))], [file])
    os.close(file)

    def fail(message: messages.Message, descriptors: list[int]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        device.drain(fail)


def test_the_device_process_notices_that_the_daemon_has_gone(
    ends: tuple[Connection, socket.socket],
) -> None:
    device, daemon = ends
    daemon.sendall(encode(messages.Ping(7)))
    daemon.close()
    received = []
    with pytest.raises(LinkClosedError):
        device.drain(lambda message, descriptors: received.append(message))
    assert received == [messages.Ping(7)]
    with pytest.raises(LinkClosedError):
        device.send(messages.Pong(7))


class Pair:
    """A daemon's end and a device process's end, the latter's calls made in a thread where they
    block.
    """

    def __init__(self) -> None:
        device, daemon = socket.socketpair()
        self.device = Connection(device.detach())
        self.daemon = TrioConnection(daemon)

    def close(self) -> None:
        self.device.close()
        self.daemon.close()

    async def received(self) -> Received:
        await trio.lowlevel.wait_readable(self.device.fileno())
        received: list[Received] = []
        self.device.drain(lambda message, descriptors: received.append((message, descriptors)))
        [message] = received
        return message


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


async def test_replies_find_their_requests_in_any_order(pair: Pair, nursery: trio.Nursery) -> None:
    bases = {}

    async def stop(name: str) -> None:
        bases[name] = (await pair.daemon.request(messages.StopQueue(), messages.QueueStopped)).base

    nursery.start_soon(pair.daemon.run, _ignore)
    with trio.fail_after(5):
        async with trio.open_nursery() as requests:
            requests.start_soon(stop, "one")
            first, _ = await pair.received()
            requests.start_soon(stop, "two")
            second, _ = await pair.received()
            assert isinstance(first, messages.StopQueue)
            assert isinstance(second, messages.StopQueue)
            pair.device.send(messages.QueueStopped(base=22, serial=second.serial))
            pair.device.send(messages.QueueStopped(base=11, serial=first.serial))
    assert bases == {"one": 11, "two": 22}


async def test_a_refusal_is_an_error_that_carries_the_reply(
    pair: Pair, nursery: trio.Nursery
) -> None:
    nursery.start_soon(pair.daemon.run, _ignore)

    async def refuse() -> None:
        message, _ = await pair.received()
        assert isinstance(message, messages.Reset)
        pair.device.send(messages.Refused(error=22, serial=message.serial))

    nursery.start_soon(refuse)
    with trio.fail_after(5), pytest.raises(RequestFailedError) as raised:
        await pair.daemon.request(messages.Reset(), messages.Done)
    assert raised.value.reply == messages.Refused(error=22, serial=1)


async def test_a_request_ends_when_the_device_process_goes(
    pair: Pair, nursery: trio.Nursery
) -> None:
    nursery.start_soon(pair.daemon.run, _ignore)

    async def go() -> None:
        await pair.received()
        pair.device.close()

    nursery.start_soon(go)
    with trio.fail_after(5), pytest.raises(LinkClosedError):
        await pair.daemon.request(messages.Ping(), messages.Pong)
    with pytest.raises(LinkClosedError):
        await pair.daemon.send(messages.Ping())


async def test_the_handler_keeps_the_descriptors_it_takes_and_the_rest_is_closed(
    pair: Pair, tmp_path: Path
) -> None:
    kept = []

    async def keep_the_first(message: messages.Report, descriptors: list[int]) -> None:
        if message.resource_id == 1:  # type: ignore[union-attr]
            kept.append(descriptors.pop())

    for resource_id in (1, 2):
        file = _file(tmp_path, f"image{resource_id}")
        pair.device.send(messages.ResourceCreated(resource_id, 2, 64, 64), [file])
        os.close(file)
    pair.device.close()
    with trio.fail_after(5):
        await pair.daemon.run(keep_the_first)
    assert os.read(kept[0], 10) == b"image1"
    os.close(kept[0])


async def test_a_large_message_passes_while_the_other_side_reads(
    pair: Pair, nursery: trio.Nursery
) -> None:
    received = []

    async def handler(message: messages.Report, descriptors: list[int]) -> None:
        received.append(message)

    nursery.start_soon(pair.daemon.run, handler)
    message = messages.BackingAttached(3, os.urandom(4 << 20))
    with trio.fail_after(10):
        await trio.to_thread.run_sync(pair.device.send, message)
        while not received:
            await trio.sleep(0.01)
    assert received == [message]


async def test_garbage_from_a_device_process_is_a_link_error(pair: Pair) -> None:
    os.write(pair.device.fileno(), b"\xff" * 64)
    with trio.fail_after(5), pytest.raises(LinkError):
        await pair.daemon.run(_ignore)


async def test_a_device_process_cannot_speak_as_the_daemon(pair: Pair) -> None:
    pair.device.send(messages.Reset())
    with trio.fail_after(5), pytest.raises(LinkError):
        await pair.daemon.run(_ignore)


async def test_descriptors_of_a_message_that_never_ends_do_not_pile_up(
    pair: Pair, tmp_path: Path
) -> None:
    file = _file(tmp_path, "file")
    begun = encode(messages.ResourceCreated(1, 2, 64, 64))[:-1]
    before = _open_descriptors()
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, _open_descriptors() - before)
            await trio.sleep(0.001)

    def send() -> None:
        with socket.socket(fileno=os.dup(pair.device.fileno())) as raw:
            socket.send_fds(raw, [begun], [file])
            for _ in range(100):
                socket.send_fds(raw, [b" "], [file] * 200)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        nursery.start_soon(_in_thread, send)
        with trio.fail_after(5), pytest.raises(LinkError):
            await pair.daemon.run(_ignore)
        nursery.cancel_scope.cancel()
    os.close(file)
    assert most < 2 * 253


async def _in_thread(work: Callable[[], None]) -> None:
    with suppress(OSError):
        await trio.to_thread.run_sync(work)


async def test_a_flood_of_messages_leaves_others_their_turn(pair: Pair) -> None:
    """Processor time and not time is measured, which others take as well."""
    flood = encode(messages.Log("INFO", "x")) * 5000
    count = 0

    async def handler(message: messages.Report, descriptors: list[int]) -> None:
        nonlocal count
        count += 1
        end = time.thread_time() + 20e-6
        while time.thread_time() < end:
            pass

    longest = 0.0

    async def another() -> None:
        nonlocal longest
        while True:
            begun = time.thread_time()
            await trio.lowlevel.checkpoint()
            longest = max(longest, time.thread_time() - begun)

    def send() -> None:
        with socket.socket(fileno=os.dup(pair.device.fileno())) as raw:
            for _ in range(10):
                raw.sendall(flood)
        pair.device.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(another)
        nursery.start_soon(_in_thread, send)
        with trio.fail_after(60):
            await pair.daemon.run(handler)
        nursery.cancel_scope.cancel()
    assert count == 50_000
    assert longest < 0.01


async def test_a_link_whose_flags_another_clears_keeps_nobody_waiting(pair: Pair) -> None:
    with socket.socket(fileno=os.dup(pair.daemon._socket.fileno())) as shared:
        shared.setblocking(True)
        with trio.move_on_after(0.1) as reading:
            await pair.daemon.run(_ignore)
    assert reading.cancelled_caught
