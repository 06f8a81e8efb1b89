# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device process's end of a present channel, as native/shared/present.h has it: well-formed records, and any others."""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import struct
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import Final

from tests.driver.waiting import readable

F_ADD_SEALS: Final = 1033
F_SEAL_SHRINK: Final = 2
F_SEAL_GROW: Final = 4

STAGING_BYTES: Final = 4 << 20
IMAGE_HEADER_BYTES: Final = 4096
IMAGE_SLOTS: Final = 4
XR24: Final = 0x34325258  # DRM_FORMAT_XRGB8888


class Kind(IntEnum):
    STAGING = 1
    SCANOUT = 2
    STAGED = 3
    IMAGE = 4
    FORGET = 5
    CONSUMED = 6
    RELEASED = 7
    BUFFER = 8
    DAMAGE = 9


_RECORD = struct.Struct("=14IQ")

PACKET_BYTES = 8 * _RECORD.size
"""As large as one from a device process may be."""


@dataclass(frozen=True)
class Record:
    """``struct present_record``."""

    kind: int
    scanout_id: int = 0
    scanout_width: int = 0
    scanout_height: int = 0
    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0
    image_id: int = 0
    slot: int = 0
    source_x: int = 0
    source_y: int = 0
    image_width: int = 0
    image_height: int = 0
    position: int = 0

    def pack(self) -> bytes:
        return _RECORD.pack(*astuple(self))

    @classmethod
    def unpack(cls, payload: bytes) -> Record:
        return cls(*_RECORD.unpack(payload))

    @classmethod
    def unpack_all(cls, packet: bytes) -> list[Record]:
        return [cls(*fields) for fields in _RECORD.iter_unpack(packet)]


def sealed_memory(size: int, seals: int = F_SEAL_SHRINK | F_SEAL_GROW) -> int:
    """A memfd of ``size`` bytes; the caller closes it."""
    fd = os.memfd_create("pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


class Image:
    """The memfd of a resource of ``width`` by ``height``."""

    def __init__(self, image_id: int, width: int, height: int) -> None:
        self.image_id, self.width, self.height = image_id, width, height
        self.stride = width * 4
        self.slot_bytes = (self.stride * height + 4095) & ~4095
        size = IMAGE_HEADER_BYTES + self.slot_bytes * IMAGE_SLOTS
        self.fd = sealed_memory(size)
        self.pixels = mmap.mmap(self.fd, size)
        self.attached = False

    def draw(self, slot: int, pixels: bytes) -> None:
        start = IMAGE_HEADER_BYTES + slot * self.slot_bytes
        self.pixels[start : start + len(pixels)] = pixels

    def close(self) -> None:
        self.pixels.close()
        os.close(self.fd)


class DeviceEnd:
    """``theirs`` is the end for the presenter."""

    def __init__(self, *, staging: bool = True) -> None:
        self.channel, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.staging_fd = sealed_memory(STAGING_BYTES)
        self.staging = mmap.mmap(self.staging_fd, STAGING_BYTES)
        self.position = 0
        if staging:
            self.send(Record(Kind.STAGING), self.staging_fd)

    def close(self) -> None:
        self.channel.close()
        self.theirs.close()
        self.staging.close()
        os.close(self.staging_fd)

    def send(self, record: Record, *fds: int) -> None:
        self.send_bytes(record.pack(), *fds)

    def buffer(
        self,
        fd: int,
        size: tuple[int, int],
        scanout_id: int = 0,
        modifier: int = 0,
        flags: int = 0,
        stride: int | None = None,
    ) -> None:
        """PRESENT_BUFFER, of XR24; ``stride`` in bytes."""
        width, height = size
        fields = (scanout_id, width, height, width * 4 if stride is None else stride, XR24, flags)
        self.send_bytes(_RECORD.pack(Kind.BUFFER, *fields, *[0] * 7, modifier), fd)

    def damage(self, scanout: tuple[int, int, int], rectangle: tuple[int, int, int, int]) -> None:
        self.send(Record(Kind.DAMAGE, *scanout, *rectangle))

    def send_bytes(self, payload: bytes, *fds: int) -> None:
        if fds:
            socket.send_fds(self.channel, [payload], list(fds))
        else:
            self.channel.send(payload)

    def scanout(self, width: int, height: int, scanout_id: int = 0) -> None:
        self.send(Record(Kind.SCANOUT, scanout_id, width, height))

    def staged(
        self, scanout: tuple[int, int, int], rectangle: tuple[int, int, int, int], pixels: bytes
    ) -> Record:
        """``scanout``: id, width, height; ``rectangle``: x, y, width, height."""
        if self.position % STAGING_BYTES + len(pixels) > STAGING_BYTES:
            self.position += STAGING_BYTES - self.position % STAGING_BYTES
        start = self.position % STAGING_BYTES
        self.staging[start : start + len(pixels)] = pixels
        record = Record(Kind.STAGED, *scanout, *rectangle, position=self.position)
        self.position += len(pixels)
        self.send(record)
        return record

    def image(
        self,
        scanout: tuple[int, int, int],
        rectangle: tuple[int, int, int, int],
        image: Image,
        slot: int = 0,
        source: tuple[int, int] = (0, 0),
    ) -> Record:
        record = Record(
            Kind.IMAGE,
            *scanout,
            *rectangle,
            image.image_id,
            slot,
            *source,
            image.width,
            image.height,
        )
        self.send(record, *(() if image.attached else (image.fd,)))
        image.attached = True
        return record

    def answer(self, timeout: float = 5.0) -> Record | None:
        """The next record of the presenter, None: none came in time."""
        return Record.unpack(self.channel.recv(256)) if readable(self.channel, timeout) else None

    def released(self, timeout: float = 5.0) -> Record | None:
        """The next PRESENT_RELEASED, whatever else comes before it."""
        answer = self.answer(timeout)
        while answer is not None and answer.kind != Kind.RELEASED:
            answer = self.answer(timeout)
        return answer
