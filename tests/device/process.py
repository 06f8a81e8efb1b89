# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A device process as the daemon has it: its link, its present channel, and a guest on its control queue."""

import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from vgpud.cli.renderer_check import probe
from vgpud.errors import RendererError
from vgpud.link import messages, rights
from vgpud.link.codec import LinkClosedError
from vgpud.link.connection import Connection
from vgpud.native import lib
from vgpud.wire import virtio_gpu as wire
from vgpud.wire.layout import pack

from ..driver.gpu import Guest
from ..driver.memory import GuestMemory, MiB, Region
from ..driver.waiting import readable
from .program import PROGRAM

LIMITS = messages.Limits(
    image_bytes=64 * MiB,
    resources=64,
    contexts=8,
    backing_entries=4096,
    request_bytes=1 << 20,
    submit_bytes=1 << 20,
    blob_bytes=32 << 20,
)
# native/shared/present.h: fourteen numbers, of which the first is the kind, and a position.
PRESENT_RECORD = struct.Struct("=14IQ")
PRESENT_PACKET_BYTES = 8 * PRESENT_RECORD.size
PRESENT_STAGED, PRESENT_IMAGE, PRESENT_CONSUMED, PRESENT_RELEASED = 3, 4, 6, 7

FEATURE_VERSION_1 = 1 << 32
FEATURE_INDIRECT = 1 << 28
FEATURE_EVENT_IDX = 1 << 29
FEATURE_PACKED = 1 << 34

# Seconds: an interpreter on an emulated processor takes more than ten.
STARTED_WITHIN = 60.0

Answer = Callable[[messages.Message], messages.Message | None]


def no_display(question: messages.Message) -> messages.Message | None:
    """The daemon's answers when it has no display to ask."""
    if isinstance(question, messages.GetDisplayInfo):
        return messages.Answer(question.request, 0, b"")
    if isinstance(question, messages.GetEdid):
        return messages.Answer(question.request, 0, b"")
    return None


class DeviceProcess:
    """``told`` has every message that was not a reply, without descriptors; ``images`` the newest image
    of each resource, ``pictures`` that of each scanout that shows a host blob.  Two threads do what the daemon does: answer the link, and release what was
    presented.
    """

    def __init__(
        self,
        mode: str = "2d",
        *,
        limits: messages.Limits = LIMITS,
        num_scanouts: int = 2,
        state_fd: int | None = None,
        answer: Answer = no_display,
        lowest_link_fd: int = 0,
        program: str = PROGRAM,
        vulkan_memory: int = 0,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """``options``: of ``RendererOptions``, beside the mode."""
        self.told: list[messages.Message] = []
        self.images: dict[int, int] = {}
        self.pictures: dict[int, int] = {}
        self.state_fd = lib.session_state_create() if state_fd is None else os.dup(state_fd)
        self._answer = answer
        self._replies: dict[int, messages.Message] = {}
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._serial = 0
        self._closed = False
        ours, end = socket.socketpair()
        with end:
            theirs = socket.socket(fileno=fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, lowest_link_fd))
        self.link = Connection(ours.detach(), messages.FROM_DEVICE)
        self._present, present = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._present, present):
            end.setblocking(False)
        with theirs, present:
            life, self._life = os.pipe()
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, str(theirs.fileno()), str(life)],
                pass_fds=[theirs.fileno(), life],
                env=environment,
            )
            os.close(life)
            start = messages.Start(
                messages.RendererOptions(mode, **options),
                limits,
                num_scanouts,
                (messages.DisplaySize(1280, 800),),
                vulkan_memory=vulkan_memory,
            )
            self._threads = [
                threading.Thread(target=work, daemon=True) for work in (self._serve, self._release)
            ]
            for thread in self._threads:
                thread.start()
            try:
                self.started = self.request(
                    start, (self.state_fd, present.fileno()), STARTED_WITHIN
                )
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
        self.hang_up()
        try:
            self.process.wait(5)
        finally:
            self.process.kill()
            self.process.wait()
        self._threads[0].join(5)
        with contextlib.suppress(OSError):
            self._present.shutdown(socket.SHUT_RDWR)
        self._threads[1].join(5)
        self._present.close()
        os.close(self._life)
        self.link.close()
        self.forget_images()
        os.close(self.state_fd)

    def hang_up(self) -> None:
        """Ends the link.  (To close it would wait for the thread that reads it.)"""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.link.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        """As the kernel does it to a process that ran out of luck; what it had said is heard."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(5)
        self._threads[0].join(5)

    def image(self, resource_id: int) -> int:
        """A resource's newest image, of all that was told until now."""
        # What was said before the answer to this has been heard.
        self.request(messages.Ping())
        return self.images[resource_id]

    def forget_images(self) -> None:
        """As the daemon does it when it resets the device."""
        for kept in (self.images, self.pictures):
            while kept:
                os.close(kept.popitem()[1])

    # --- what the daemon says

    def request(
        self, message: messages.Request, descriptors: Sequence[int] = (), timeout: float = 5.0
    ) -> Any:
        """The reply to a request."""
        with self._sending:
            self._serial += 1
            serial = self._serial
            self.link.send(message._replace(serial=serial), descriptors)
        with self._changed:
            assert self._changed.wait_for(lambda: serial in self._replies or self._closed, timeout)
            return self._replies.pop(serial, None)

    def do(self, message: messages.Request, descriptors: Sequence[int] = ()) -> None:
        """A request that has to succeed."""
        reply = self.request(message, descriptors)
        assert isinstance(reply, messages.Done), reply

    def share(self, memory: GuestMemory) -> None:
        """The whole memory table."""
        regions = tuple(region_of(region) for region in memory.regions)
        self.do(messages.SetMemory(regions), [region.fd for region in memory.regions])

    def start_queue(self, guest: Guest, base: int | None = None, *, recover: bool = False) -> None:
        """Starts and enables the control queue, from where the driver begins unless ``base`` is given."""
        queue = guest.control
        base = queue.ring.base if base is None else base
        descriptors = (queue.kick_fd, queue.call_fd, queue.err_fd)
        config = queue_config(guest)
        start = messages.StartQueue(config, base, recover, kick=True, call=True, err=True)
        self.do(start, descriptors)
        self.do(messages.EnableQueue(True))

    def stop_queue(self) -> int:
        """Disables and stops the control queue; returns its base."""
        self.do(messages.EnableQueue(False))
        return int(self.request(messages.StopQueue()).base)

    # --- what the device process says

    def wait_for(self, kind: type[messages.Message], timeout: float = 5.0) -> Any:
        """The first message of a kind, once it has come."""

        def found() -> list[messages.Message]:
            return [message for message in self.told if isinstance(message, kind)]

        with self._changed:
            assert self._changed.wait_for(found, timeout), f"no {kind.__name__} came"
            return found()[0]

    def logged(self) -> list[str]:
        with self._changed:
            return [message.text for message in self.told if isinstance(message, messages.Log)]

    def _serve(self) -> None:
        with contextlib.suppress(LinkClosedError):
            while True:
                readable(self.link, None)
                self.link.drain(self._receive)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _receive(self, message: messages.Message, descriptors: list[int]) -> None:
        answer = self._answer(message)
        if answer is not None:
            with self._sending:
                self.link.send(answer)
        with self._changed:
            if isinstance(message, messages.REPLIES):
                self._replies[message.serial] = message
            else:
                self.told.append(message)
            if isinstance(message, messages.PictureMade | messages.PictureGone):
                _keep(self.pictures, message.scanout_id, descriptors)
            elif isinstance(message, messages.ResourceGone) or descriptors:
                _keep(self.images, message.resource_id, descriptors)  # type: ignore[union-attr]
            self._changed.notify_all()

    def _release(self) -> None:
        # A display that takes everything at once, and looks at nothing.
        while readable(self._present, 10):
            try:
                packet, ancillary, _, _ = self._present.recvmsg(PRESENT_PACKET_BYTES, 1024)
                rights.close(rights.unpack(ancillary))
                for record in PRESENT_RECORD.iter_unpack(packet):
                    for released in _released(record):
                        self._present.send(released)
            except OSError:
                return
            if not packet:
                return


def _keep(kept: dict[int, int], number: int, descriptors: list[int]) -> None:
    """The one that has come, or none, in the place of the one before."""
    old = kept.pop(number, None)
    if old is not None:
        os.close(old)
    if descriptors:
        kept[number] = descriptors.pop()


def _released(record: tuple[int, ...]) -> list[bytes]:
    kind, *numbers, position = record
    if kind == PRESENT_STAGED:
        end = position + numbers[5] * numbers[6] * 4
        return [PRESENT_RECORD.pack(PRESENT_CONSUMED, *[0] * 13, end)]
    if kind == PRESENT_IMAGE:
        return [PRESENT_RECORD.pack(PRESENT_RELEASED, *numbers, position)]
    return []


def region_of(region: Region) -> messages.MemoryRegion:
    """A region of the test's guest, as the link has it."""
    return messages.MemoryRegion(
        region.guest_address, region.size, region.user_address, region.mmap_offset
    )


def queue_config(guest: Guest) -> messages.QueueConfig:
    """The guest's control queue, as the link has it."""
    ring: Any = guest.control.ring
    features = FEATURE_VERSION_1 | FEATURE_INDIRECT
    features |= FEATURE_EVENT_IDX if guest.event_idx else 0
    features |= FEATURE_PACKED if guest.packed else 0
    user_address = guest.memory.user_address
    return messages.QueueConfig(
        size=ring.size,
        features=features,
        descriptor=user_address(ring.descriptor),
        used=user_address(ring.used),
        available=user_address(ring.available),
    )


def display(width: int, height: int) -> Answer:
    """The daemon's answers when it has a display of one output."""

    def answer(question: messages.Message) -> messages.Message | None:
        if isinstance(question, messages.GetEdid):
            return messages.Answer(question.request, 0, edid_response(question.scanout_id))
        if not isinstance(question, messages.GetDisplayInfo):
            return None
        one = wire.virtio_gpu_display_one(wire.virtio_gpu_rect(0, 0, width, height), 1)
        none = wire.virtio_gpu_display_one(wire.virtio_gpu_rect(0, 0, 0, 0), 0)
        info = wire.virtio_gpu_resp_display_info((one, *[none] * 15))
        header = wire.virtio_gpu_ctrl_hdr(wire.VIRTIO_GPU_RESP_OK_DISPLAY_INFO)
        return messages.Answer(question.request, 0, pack(header) + pack(info))

    return answer


def edid_response(scanout_id: int) -> bytes:
    """A response that is told from that of another scanout."""
    header = wire.virtio_gpu_ctrl_hdr(wire.VIRTIO_GPU_RESP_OK_EDID)
    edid = wire.virtio_gpu_resp_edid(256, 0, bytes([scanout_id + 1]) * 256)
    return pack(header) + pack(edid)


def opengl_unavailable() -> str:
    """Why libvirglrenderer cannot be had here, or nothing."""
    try:
        probe({"mode": "virglrenderer"})
    except RendererError as error:
        return str(error)
    return ""


def proportional_set_size(process_id: int) -> int:
    """The memory of a process in bytes, what it shares divided by those that share it."""
    lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def wait_until(condition: Callable[[], bool], timeout: float = 5.0) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
