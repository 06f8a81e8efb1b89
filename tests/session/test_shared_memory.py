# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Host-visible memory, from what a device process asks for to what the VMM maps: with a VMM that may do anything,
and a device process that may say anything.
"""

import errno
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio
from loguru import logger

from vgpud.config.schema import Config, DeviceProcess, Renderer
from vgpud.session.session import serve_frontend
from vgpud.vhost_user import backend_channel

from ..daemon.running import wait_until
from ..driver.frontend import QEMU_PROTOCOL, Frontend, Protocol, Request
from ..driver.gpu import Guest
from ..driver.memory import PAGE, GuestMemory, MiB
from ..driver.shared_region import SHMEM_MAP, SHMEM_UNMAP, Asked, SharedRegion
from .executed import ExecutedDevices

SIZE = 16 * MiB
SLOTS = 509
CONFIG = Config(
    renderer=Renderer(hostmem=SIZE),
    device_process=DeviceProcess(restarts=2, restart_window=60.0, restart_delay=0.01),
)

# Each SetFeatures is a line to carry out; what is answered to a MapBlob or UnmapBlob is written to a file.
BEGINNING = """
import fcntl, os, select, sys
answers = open("ANSWERS", "a")
from vgpud.link import messages as m
from vgpud.link.connection import Connection
link = Connection(int(sys.argv[1]))
def blob(size=64 << 20, seals=2):
    file = os.memfd_create("blob", os.MFD_ALLOW_SEALING)
    os.ftruncate(file, size)
    fcntl.fcntl(file, 1033, seals)
    return file
def map(number, resource, offset, length, file_offset=0, size=64 << 20, seals=2):
    file = blob(size, seals)
    link.send(m.MapBlob(number, resource, offset, length, file_offset), [file])
    os.close(file)
def unmap(number, resource):
    link.send(m.UnmapBlob(number, resource))
def create(resource):
    link.send(m.Resource3DCreated(resource, 2, 1, 2, 4, 4, 1, 1, 0, 0, 0))
def gone(resource):
    link.send(m.ResourceGone(resource))
steps = iter(STEPS)
def handle(message, descriptors):
    if isinstance(message, m.Start):
        link.send(m.Started((), 6, "scripted", True, message.serial))
        return
    if isinstance(message, m.Answer):
        print(message.request, message.error, file=answers, flush=True)
        return
    if isinstance(message, m.StopQueue):
        link.send(m.QueueStopped(0, message.serial))
        return
    if isinstance(message, m.AddMemory):
        link.send(m.Log("INFO", f"more memory: {message.region.size}"))
    if isinstance(message, m.Ping):
        link.send(m.Pong(message.serial))
        return
    link.send(m.Done(message.serial))
    if isinstance(message, m.SetFeatures) and message.features:
        exec(next(steps, ""))
poll = select.poll()
poll.register(link, select.POLLIN)
while True:
    poll.poll()
    link.drain(handle)
"""


class Session:
    """One session as its VMM sees it."""

    def __init__(self, frontend: Frontend, answers: Path) -> None:
        self.frontend = frontend
        self._answers = answers

    def step(self) -> None:
        """The device process does what comes next."""
        self.frontend.set_features(self.frontend.features_for([]), ack=True)

    def answers(self, *numbers: int, timeout: float = 10) -> list[int]:
        """The errnos that the device process was answered with."""

        def found() -> dict[int, int]:
            pairs = (line.split() for line in self._answers.read_text().splitlines())
            return {int(number): int(error) for number, error in pairs}

        assert wait_until(lambda: set(numbers) <= set(found()), timeout), found()
        return [found()[number] for number in numbers]


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lambda line: lines.append(str(line)), format="{message}")
    yield lines
    logger.remove(handler)
    assert not any("mistake in this program" in line for line in lines)


def descriptors() -> list[str]:
    """Those of memory files that this process holds."""
    found = []
    for one in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(one.readlink()))
        except FileNotFoundError:
            continue
    return [one for one in found if one.startswith("/memfd:blob")]


Use = Callable[[Session], None]


async def play(
    log: list[str], steps: list[str], use: Use, protocol: Protocol = QEMU_PROTOCOL | Protocol.SHMEM
) -> None:
    """``use`` runs in a thread, as the VMM."""
    ours, theirs = socket.socketpair()

    def talk() -> None:
        frontend = Frontend(ours, wanted_protocol=protocol, timeout=10)
        frontend.realize([])
        try:
            use(Session(frontend, Path(answers.name)))
        finally:
            frontend.close()

    with ours, tempfile.NamedTemporaryFile() as answers, trio.fail_after(60):
        program = BEGINNING.replace("STEPS", repr(steps)).replace("ANSWERS", answers.name)
        async with trio.open_nursery() as nursery:
            end = trio.socket.from_stdlib_socket(theirs)
            nursery.start_soon(serve_frontend, end, CONFIG, ExecutedDevices(program))
            await trio.to_thread.run_sync(talk)
    assert descriptors() == []


@contextmanager
def vmm(
    session: Session, answer: Callable[[Asked], int | None] = lambda asked: 0
) -> Iterator[SharedRegion]:
    with SharedRegion(session.frontend, answer=answer) as region:
        yield region


MAPS = "map(1, 7, 0, 4096, 4096); map(2, 8, 8192, 8192)"


@pytest.mark.parametrize("tells_first", [False, True])
async def test_what_is_mapped_is_told_of_and_unmapped(log: list[str], tells_first: bool) -> None:
    def use(session: Session) -> None:
        assert session.frontend.shared_regions == {1: SIZE}
        with SharedRegion(session.frontend, tells_first) as region:
            session.step()
            assert session.answers(1, 2) == [0, 0]
            assert region.asked == [
                Asked(SHMEM_MAP, 1, PAGE, 0, PAGE, 1),
                Asked(SHMEM_MAP, 1, 0, 2 * PAGE, 2 * PAGE, 1),
            ]
            assert wait_until(lambda: sorted(region.windows) == [0, 2 * PAGE], 5)
            session.step()
            assert session.answers(3, 4, 5) == [0, errno.EINVAL, 0]
            assert region.asked[2:] == [
                Asked(SHMEM_UNMAP, 1, 0, 2 * PAGE, 2 * PAGE, 0),
                Asked(SHMEM_MAP, 1, 0, 2 * PAGE, PAGE, 1),
            ]
            assert wait_until(lambda: region.windows[2 * PAGE].size == PAGE, 5)

    steps = [MAPS, "unmap(3, 8); unmap(4, 8); map(5, 9, 8192, 4096)"]
    await play(log, steps, use)


async def test_a_guest_is_answered_when_its_processors_see_what_is_mapped(log: list[str]) -> None:
    """QEMU 11.1 answers before it changes the guest's memory, of which it tells then."""

    def use(session: Session) -> None:
        with SharedRegion(session.frontend, tells_after=0.2) as region:
            session.step()
            # The second is announced on its own, and not by what is announced after the first has
            # gone.
            for number, place in ((1, 0), (2, 2 * PAGE)):
                assert session.answers(number) == [0]
                assert place in region.windows
            session.step()
            assert session.answers(3, 4) == [0, 0]
            assert 4 * PAGE in region.windows

    steps = [MAPS, "unmap(3, 8); map(4, 9, 16384, 4096)"]
    await play(log, steps, use)


async def test_a_vmm_that_tells_of_nothing_is_waited_for_once(log: list[str]) -> None:
    def use(session: Session) -> None:
        frontend = session.frontend
        session.step()
        begin = time.monotonic()
        for number in (1, 2, 3):
            message = frontend.backend_request()
            os.close(message.fds[0])
            frontend.answer_backend(message)
            assert session.answers(number) == [0]
        assert 0.4 < time.monotonic() - begin < 0.9

    await play(log, ["for n in (1, 2, 3): map(n, n, n * 4096, 4096)"], use)


async def test_windows_are_no_guest_memory(log: list[str]) -> None:
    """Nothing of the guest's lies there, and a device process does not stop its queue for them."""

    def use(session: Session) -> None:
        memory = GuestMemory(MiB)
        session.frontend.share_memory(memory)
        with vmm(session) as region:
            session.step()
            assert session.answers(1, 2) == [0, 0]
            assert wait_until(lambda: len(region.windows) == 2, 5)
        memory.close()

    await play(log, [MAPS], use)
    assert [line for line in log if "more memory" in line] == ["more memory: 1048576\n"]


WRONG = {
    "overlapping": "map(1, 7, 0, 8192); map(2, 8, 4096, 4096)",
    "the same resource twice": "map(1, 7, 0, 4096); map(2, 7, 8192, 4096)",
    "not whole pages": "map(1, 7, 0, 4096); map(2, 8, 8192, 4097)",
    "an odd place": "map(1, 7, 0, 4096); map(2, 8, 8193, 4096)",
    "beyond the region": f"map(1, 7, 0, 4096); map(2, 8, {SIZE}, 4096)",
    "far beyond the region": "map(1, 7, 0, 4096); map(2, 8, 2**64 - 4096, 8192)",
    "nothing": "map(1, 7, 0, 4096); map(2, 8, 8192, 0)",
    "more than the file has": "map(1, 7, 0, 4096); map(2, 8, 8192, 8192, 0, 4096)",
    "an odd place of the file": "map(1, 7, 0, 4096); map(2, 8, 8192, 4096, 1)",
}


@pytest.mark.parametrize("wrong", list(WRONG))
async def test_what_a_guest_cannot_mean_is_refused_and_never_asked_for(
    log: list[str], wrong: str
) -> None:
    def use(session: Session) -> None:
        with vmm(session) as region:
            session.step()
            assert session.answers(1, 2) == [0, errno.EINVAL]
            session.step()
            assert session.answers(3) == [0]
            assert [asked.offset for asked in region.asked] == [0, 65536]

    await play(log, [WRONG[wrong], "map(3, 9, 65536, 4096)"], use)


async def test_a_file_that_may_be_made_shorter_is_not_passed_on(log: list[str]) -> None:
    def use(session: Session) -> None:
        with vmm(session) as region:
            session.step()
            assert session.answers(1) == [errno.EOPNOTSUPP]
            assert region.asked == []

    await play(log, ["map(1, 7, 0, 4096, seals=0)"], use)


@pytest.mark.parametrize("tells_first", [False, True])
async def test_a_vmm_maps_only_so_many(log: list[str], tells_first: bool) -> None:
    def use(session: Session) -> None:
        memory = GuestMemory(MiB, MiB)
        session.frontend.share_memory(memory)
        with SharedRegion(session.frontend, tells_first) as region:
            session.step()
            mapped = SLOTS - 2
            assert session.answers(*range(600), timeout=30) == [0] * mapped + [errno.ENOMEM] * (
                600 - mapped
            )
            session.step()
            assert session.answers(1000, 1001, 1002) == [0, 0, errno.ENOMEM]
            assert wait_until(lambda: len(region.windows) == mapped, 5)
        memory.close()

    steps = [
        "for n in range(600): map(n, n + 1, n * 4096, 4096, size=4096)",
        "unmap(1000, 5); map(1001, 5, 4 * 4096, 4096); map(1002, 2000, 600 * 4096, 4096)",
    ]
    await play(log, steps, use)


async def test_without_slots_for_memory_there_are_few_windows(log: list[str]) -> None:
    def use(session: Session) -> None:
        memory = GuestMemory(MiB)
        session.frontend.share_memory(memory)
        with SharedRegion(session.frontend, by_table=memory) as region:
            session.step()
            assert session.answers(*range(9)) == [0] * 7 + [errno.ENOMEM] * 2
            assert wait_until(lambda: len(region.windows) == 7, 5)
        memory.close()

    steps = ["for n in range(9): map(n, n + 1, n * 4096, 4096)"]
    protocol = (QEMU_PROTOCOL | Protocol.SHMEM) & ~Protocol.CONFIGURE_MEM_SLOTS
    await play(log, steps, use, protocol)


async def test_a_vmm_that_refuses_is_asked_again(log: list[str]) -> None:
    refusing = [1, 0, 1, 0]

    def use(session: Session) -> None:
        with vmm(session, lambda asked: refusing.pop(0)):
            session.step()
            assert session.answers(1, 2, 3, 4) == [errno.EIO, 0, errno.EIO, 0]

    steps = ["map(1, 7, 0, 4096); map(2, 7, 0, 4096); unmap(3, 7); unmap(4, 7)"]
    await play(log, steps, use)


@pytest.mark.parametrize("when", [SHMEM_MAP, SHMEM_UNMAP])
async def test_a_vmm_that_never_answers_maps_nothing_more(
    monkeypatch: pytest.MonkeyPatch, log: list[str], when: int
) -> None:
    monkeypatch.setattr(backend_channel, "ANSWER_SECONDS", 0.3)

    def use(session: Session) -> None:
        with vmm(session, lambda asked: None if asked.request == when else 0) as region:
            session.step()
            first, second, third = session.answers(1, 2, 3)
            assert (first, second) == (
                (errno.EIO, errno.EINVAL) if when == SHMEM_MAP else (0, errno.EIO)
            )
            assert third == errno.EIO
            assert len(region.asked) == (1 if when == SHMEM_MAP else 2)
            assert session.frontend.ask_u64(Request.GET_QUEUE_NUM) == 2

    await play(log, ["map(1, 7, 0, 4096); unmap(2, 7); map(3, 8, 8192, 4096)"], use)


async def test_a_late_answer_is_an_answer(log: list[str]) -> None:
    def use(session: Session) -> None:
        frontend = session.frontend
        session.step()
        message = frontend.backend_request()
        # The queue's tasks and whoever asks something else go on meanwhile.
        for _ in range(3):
            assert frontend.ask_u64(Request.GET_QUEUE_NUM) == 2
        os.close(message.fds[0])
        frontend.answer_backend(message)
        assert session.answers(1) == [0]

    await play(log, ["map(1, 7, 0, 4096)"], use)


@pytest.mark.parametrize("answered", [False, True])
async def test_a_vmm_that_leaves_in_the_middle(log: list[str], answered: bool) -> None:
    def use(session: Session) -> None:
        session.step()
        message = session.frontend.backend_request()
        os.close(message.fds[0])
        if answered:
            session.frontend.answer_backend(message)
            os.close(session.frontend.backend_request().fds[0])
        session.frontend.close()

    await play(log, ["for n in range(50): map(n, n, n * 4096, 4096)"], use)


async def test_a_channel_that_is_closed_and_another(log: list[str]) -> None:
    def use(session: Session) -> None:
        assert session.frontend.backend_channel is not None
        session.frontend.backend_channel.close()
        session.step()
        assert session.answers(1) == [errno.EIO]
        session.frontend.set_backend_channel()
        with vmm(session):
            session.step()
            assert session.answers(2) == [0]

    await play(log, ["map(1, 7, 0, 4096)", "map(2, 7, 0, 4096)"], use)


async def test_a_resource_that_goes_is_unmapped(log: list[str]) -> None:
    def use(session: Session) -> None:
        with vmm(session) as region:
            session.step()
            assert session.answers(1, 2) == [0, 0]
            assert [asked.request for asked in region.asked] == [SHMEM_MAP, SHMEM_UNMAP, SHMEM_MAP]

    await play(log, ["create(7); map(1, 7, 0, 4096); gone(7); create(8); map(2, 8, 0, 4096)"], use)


async def test_a_reset_unmaps_what_was_mapped_and_what_waited_for_it(log: list[str]) -> None:
    """The next driver finds the region empty, though it may ask at once."""
    slow: list[Asked] = []

    def use(session: Session) -> None:
        frontend = session.frontend

        def answer(asked: Asked) -> int:
            if asked.offset == PAGE and not slow:
                slow.append(asked)
                # Waits until the guest has started again.
                assert wait_until(lambda: any("the device is reset" in line for line in log), 5)
            return 0

        with vmm(session, answer) as region:
            session.step()
            assert session.answers(1) == [0]
            assert wait_until(lambda: len(slow) + len(region.asked) == 3, 5)
            frontend.tell(Request.RESET_DEVICE)
            session.step()
            assert session.answers(4, 5) == [0, 0]
            requests = [(asked.request, asked.offset) for asked in region.asked]
            assert requests == [
                (SHMEM_MAP, 0),
                (SHMEM_MAP, PAGE),
                (SHMEM_UNMAP, 0),
                (SHMEM_UNMAP, PAGE),
                (SHMEM_MAP, 0),
                (SHMEM_MAP, PAGE),
            ]

    steps = [
        "map(1, 7, 0, 4096); map(2, 8, 4096, 4096); map(3, 9, 8192, 4096)",
        "map(4, 7, 0, 4096); map(5, 8, 4096, 4096)",
    ]
    await play(log, steps, use)


async def test_a_vmm_may_have_unmapped_by_itself_at_a_reset(log: list[str]) -> None:
    """QEMU 11.1 does, and refuses to do it once more."""

    def use(session: Session) -> None:
        with vmm(session, lambda asked: int(asked.request == SHMEM_UNMAP)):
            session.step()
            assert session.answers(1, 2) == [0, 0]
            session.frontend.tell(Request.RESET_DEVICE)
            session.step()
            assert session.answers(3, 4) == [0, 0]

    steps = [
        "map(1, 7, 0, 4096); map(2, 8, 4096, 4096)",
        "map(3, 7, 0, 4096); map(4, 8, 4096, 4096)",
    ]
    await play(log, steps, use)


async def test_a_vmm_that_does_not_answer_after_a_reset_may_have_kept_it(
    monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    monkeypatch.setattr(backend_channel, "ANSWER_SECONDS", 0.3)

    def use(session: Session) -> None:
        with vmm(session, lambda asked: 0 if asked.request == SHMEM_MAP else None):
            session.step()
            assert session.answers(1) == [0]
            session.frontend.tell(Request.RESET_DEVICE)
            session.step()
            assert session.answers(2) == [errno.EINVAL]
        assert any("4096 bytes of host-visible memory may still be mapped" in line for line in log)

    await play(log, ["map(1, 7, 0, 4096)", "map(2, 8, 0, 4096)"], use)


async def test_windows_are_acknowledged_only_when_the_device_starts(log: list[str]) -> None:
    """QEMU 11.1 crashes at the next start when an acknowledged window has gone with a reset, and starts
    no device that refuses one.
    """
    with closing(GuestMemory(8 * MiB)) as memory, closing(Guest(memory)) as guest:

        def use(session: Session) -> None:
            frontend = session.frontend
            frontend.driver_ok(memory, guest.queues, None)
            with vmm(session) as region:
                session.step()
                assert session.answers(1, 2) == [0, 0]
                assert wait_until(lambda: len(region.windows) == 2, 5)
                assert region.acknowledged == []
                frontend.stop()
                frontend.set_features(frontend.features, ack=True)
                assert frontend.ask_u64(Request.GET_QUEUE_NUM) == 2
                # What is asked while the device is stopped would crash QEMU.
                assert not wait_until(lambda: len(region.asked) > 2, 0.3)
                region.start()
                frontend.cont(memory, guest.queues, None)
                assert session.answers(3, 4) == [0, 0]
                assert wait_until(lambda: len(region.acknowledged) == 1, 5)

        # The features are set by each start, too.
        steps = ["pass", MAPS, "unmap(3, 7); map(4, 9, 65536, 4096)", "pass"]
        await play(log, steps, use)


LIES = {
    "more than a guest can ask for": "for n in range(5000): map(n, 1, 0, 4096)",
    "numbers beyond 64 bits": "map(1, 1, 2**64, 4096)",
    "a descriptor that never comes": "link.send(m.MapBlob(1, 1, 0, 4096, 0))",
}


@pytest.mark.parametrize("lie", list(LIES))
async def test_a_device_process_that_asks_what_no_guest_can_is_replaced(
    log: list[str], lie: str
) -> None:
    def use(session: Session) -> None:
        session.step()
        if lie == "a descriptor that never comes":
            session.step()
        assert wait_until(lambda: any("breaks the link's rules" in line for line in log), 10)
        assert session.frontend.ask_u64(Request.GET_QUEUE_NUM) == 2

    await play(log, [LIES[lie], "link.send(m.Log('INFO', 'and goes on'))"], use)


async def test_a_process_that_dies_leaves_what_is_mapped(log: list[str]) -> None:
    """The guest's program sees old contents, and no fault; its successor says what becomes of it."""

    def use(session: Session) -> None:
        with vmm(session) as region:
            session.step()
            assert session.answers(1) == [0]
            session.step()
            assert wait_until(lambda: any("ended with" in line for line in log), 5)
            # The next one is told the features too.
            assert wait_until(lambda: session.answers(1) == [errno.EINVAL], 10)
            assert len(region.asked) == len(region.windows) == 1

    await play(log, ["map(1, 7, 0, 4096)", "sys.exit(1)"], use)


@pytest.mark.parametrize("without", [Protocol.SHMEM, Protocol.REPLY_ACK, Protocol.BACKEND_SEND_FD])
async def test_a_vmm_that_lacks_something_has_no_host_visible_memory(
    log: list[str], without: Protocol
) -> None:
    def use(session: Session) -> None:
        session.step()
        assert session.answers(1) == [errno.EOPNOTSUPP]

    await play(log, ["map(1, 1, 0, 4096)"], use, (QEMU_PROTOCOL | Protocol.SHMEM) & ~without)


async def test_who_has_not_asked_for_the_region_has_none(
    monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    """QEMU 11.1's vhost-user-gpu acknowledges the feature but has no region."""
    monkeypatch.setattr(Frontend, "get_shmem_config", lambda frontend: {})

    def use(session: Session) -> None:
        assert Protocol.SHMEM in session.frontend.protocol
        session.step()
        assert session.answers(1) == [errno.EOPNOTSUPP]

    await play(log, ["map(1, 1, 0, 4096)"], use)


async def test_who_does_not_know_the_feature_may_not_ask(log: list[str]) -> None:
    def use(session: Session) -> None:
        session.frontend.send(Request.GET_SHMEM_CONFIG)
        assert session.frontend.disconnected()

    await play(log, [], use, QEMU_PROTOCOL)
