# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The wire structures of vhost-user, and every check of syntax; what a value means is decided
elsewhere.

All numbers are in the host's byte order.  A parser takes the payload of a request and raises
``FrontendError`` when its size or a reserved bit is wrong.
"""

import struct
from collections.abc import Callable, Mapping
from enum import IntEnum, IntFlag
from struct import Struct
from typing import Any, NamedTuple, TypeVar

from vgpud.errors import FrontendError
from vgpud.link.messages import MemoryRegion

HEADER = Struct("=3I")  # request, flags, size of the payload
VERSION = 1
VERSION_MASK = 3
FLAG_REPLY = 1 << 2
FLAG_NEED_REPLY = 1 << 3
KNOWN_FLAGS = VERSION_MASK | FLAG_NEED_REPLY

MAXIMUM_CONFIG = 256  # VHOST_USER_MAX_CONFIG_SIZE
MAXIMUM_TABLE_REGIONS = 8  # VHOST_MEMORY_BASELINE_NREGIONS
MAXIMUM_MEMORY_SLOTS = 509  # as many as QEMU's own back-ends have
MAXIMUM_QUEUE_SIZE = 1024
SHMEM_REGIONS = 256  # VHOST_USER_MAX_SHMEM_REGIONS: as many as there are ids
SHMEM_READ_WRITE = 1 << 0  # VHOST_USER_FLAG_MAP_RW

DESCRIPTOR_INDEX = 0xFF
DESCRIPTOR_NONE = 1 << 8

LOG_USED = 1 << 0  # VHOST_VRING_F_LOG, of a vring's address

Parsed = TypeVar("Parsed")


class Request(IntEnum):
    """From the front-end, as the document numbers them."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_LOG_BASE = 6
    SET_LOG_FD = 7
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SET_BACKEND_REQ_FD = 21
    GET_CONFIG = 24
    SET_CONFIG = 25
    GPU_SET_SOCKET = 33
    RESET_DEVICE = 34
    GET_MAX_MEM_SLOTS = 36
    ADD_MEM_REG = 37
    REM_MEM_REG = 38
    SET_STATUS = 39
    GET_STATUS = 40
    GET_SHMEM_CONFIG = 44


class BackendRequest(IntEnum):
    """From the back-end, on the channel of SET_BACKEND_REQ_FD."""

    CONFIG_CHANGE_MSG = 2
    SHMEM_MAP = 9
    SHMEM_UNMAP = 10


class ProtocolFeature(IntFlag):
    """VHOST_USER_PROTOCOL_F_*."""

    MQ = 1 << 0
    LOG_SHMFD = 1 << 1
    REPLY_ACK = 1 << 3
    BACKEND_REQ = 1 << 5
    CONFIG = 1 << 9
    BACKEND_SEND_FD = 1 << 10
    RESET_DEVICE = 1 << 13
    CONFIGURE_MEM_SLOTS = 1 << 15
    STATUS = 1 << 16
    SHMEM = 1 << 22


class Feature(IntFlag):
    """Virtio features as vhost-user passes them: the device's, the rings' and vhost's own."""

    VIRGL = 1 << 0  # VIRTIO_GPU_F_*, VIRTIO 1.2 section 5.7.3
    EDID = 1 << 1
    RESOURCE_UUID = 1 << 2
    RESOURCE_BLOB = 1 << 3
    CONTEXT_INIT = 1 << 4
    BLOB_ALIGNMENT = 1 << 5  # of a later specification
    LOG_ALL = 1 << 26  # VHOST_F_LOG_ALL
    INDIRECT_DESC = 1 << 28
    EVENT_IDX = 1 << 29
    PROTOCOL_FEATURES = 1 << 30  # VHOST_USER_F_PROTOCOL_FEATURES
    VERSION_1 = 1 << 32
    RING_PACKED = 1 << 34


class Header(NamedTuple):
    request: int
    flags: int
    size: int


class VringState(NamedTuple):
    """``vring`` is its index; ``num`` a size, a base or a switch."""

    vring: int
    num: int


class VringAddress(NamedTuple):
    """User addresses of the front-end; ``log`` is the used ring's guest address."""

    vring: int
    flags: int
    descriptor: int
    used: int
    available: int
    log: int


class VringDescriptor(NamedTuple):
    """Of SET_VRING_KICK, CALL and ERR; if not ``present`` there is no descriptor."""

    vring: int
    present: bool


class ConfigAccess(NamedTuple):
    """``size`` bytes of the configuration space from ``offset``; ``data`` is that long."""

    offset: int
    size: int
    flags: int
    data: bytes


class LogArea(NamedTuple):
    """The dirty log in its descriptor, in bytes."""

    size: int
    offset: int


class SharedWindow(NamedTuple):
    """Of SHMEM_MAP and SHMEM_UNMAP, in bytes: ``length`` from ``offset`` of the shared memory region
    ``region``, and from ``file_offset`` of the descriptor that comes with it.
    """

    region: int
    file_offset: int
    offset: int
    length: int
    flags: int


_U64 = Struct("=Q")
_VRING_STATE = Struct("=2I")
_VRING_ADDRESS = Struct("=2I4Q")
_REGION = Struct("=4Q")
_COUNT = Struct("=2I")
_CONFIG = Struct("=3I")
_LOG = Struct("=2Q")
_ONE_REGION = Struct("=Q4Q")
_SHARED_REGIONS = Struct(f"=2I{SHMEM_REGIONS}Q")
_SHARED_WINDOW = Struct("=B7x4Q")

MAXIMUM_PAYLOAD = max(
    _CONFIG.size + MAXIMUM_CONFIG, _COUNT.size + MAXIMUM_TABLE_REGIONS * _REGION.size
)


def parse_header(data: bytes) -> Header:
    """The header of a request from the front-end."""
    header = Header(*HEADER.unpack(data))
    if header.flags & VERSION_MASK != VERSION or header.flags & ~KNOWN_FLAGS:
        raise FrontendError(f"request {header.request} with flags {header.flags:#x}")
    if header.size > MAXIMUM_PAYLOAD:
        raise FrontendError(f"request {header.request} with {header.size} bytes")
    return header


def reply(request: int, payload: bytes) -> bytes:
    """A whole reply: QEMU rejects one whose flags differ, or whose number is not the request's."""
    return HEADER.pack(request, VERSION | FLAG_REPLY, len(payload)) + payload


# --- parsers


def nothing(payload: bytes) -> None:
    """No payload.  If there is one it is ignored: QEMU 11.1 has sent some."""


def u64(payload: bytes) -> int:
    (value,) = _unpack(_U64, payload)
    return int(value)


def _fixed(structure: Struct, make: Callable[..., Parsed]) -> Callable[[bytes], Parsed]:
    return lambda payload: make(*_unpack(structure, payload))


vring_state = _fixed(_VRING_STATE, VringState)
vring_address = _fixed(_VRING_ADDRESS, VringAddress)
log_area = _fixed(_LOG, LogArea)


def vring_descriptor(payload: bytes) -> VringDescriptor:
    value = u64(payload)
    if value & ~(DESCRIPTOR_INDEX | DESCRIPTOR_NONE):
        raise FrontendError(f"a vring's descriptor with {value:#x}")
    return VringDescriptor(value & DESCRIPTOR_INDEX, not value & DESCRIPTOR_NONE)


def memory_region(payload: bytes) -> MemoryRegion:
    """The region of ADD_MEM_REG and REM_MEM_REG, after 8 bytes of padding."""
    _, *region = _unpack(_ONE_REGION, payload)
    return MemoryRegion(*region)


def memory_table(payload: bytes) -> tuple[MemoryRegion, ...]:
    if len(payload) < _COUNT.size:
        raise FrontendError(f"a memory table of {len(payload)} bytes")
    count, _ = _COUNT.unpack_from(payload)
    if count > MAXIMUM_TABLE_REGIONS:
        raise FrontendError(f"a memory table of {count} regions")
    regions = payload[_COUNT.size :]
    if len(regions) != count * _REGION.size:
        raise FrontendError(f"a memory table of {count} regions in {len(regions)} bytes")
    return tuple(MemoryRegion(*region) for region in _REGION.iter_unpack(regions))


def config_access(payload: bytes) -> ConfigAccess:
    """GET_CONFIG has as many bytes as its answer, SET_CONFIG has the bytes to set."""
    if len(payload) < _CONFIG.size:
        raise FrontendError(f"an access to the configuration space of {len(payload)} bytes")
    offset, size, flags = _CONFIG.unpack_from(payload)
    data = payload[_CONFIG.size :]
    if len(data) != size or offset + size > MAXIMUM_CONFIG:
        raise FrontendError(f"configuration space: {size} bytes at {offset}, {len(data)} sent")
    return ConfigAccess(offset, size, flags, data)


def _unpack(structure: Struct, payload: bytes) -> tuple[Any, ...]:
    try:
        return structure.unpack(payload)
    except struct.error:
        raise FrontendError(f"{len(payload)} bytes where {structure.size} belong") from None


# --- packers


def pack_u64(value: int) -> bytes:
    return _U64.pack(value)


def pack_vring_state(state: VringState) -> bytes:
    return _VRING_STATE.pack(*state)


def pack_config(access: ConfigAccess) -> bytes:
    return _CONFIG.pack(access.offset, access.size, access.flags) + access.data


def pack_shared_regions(sizes: Mapping[int, int]) -> bytes:
    """The shared memory regions by their ids; 0 bytes mean no region."""
    every = (sizes.get(region, 0) for region in range(SHMEM_REGIONS))
    return _SHARED_REGIONS.pack(len(sizes), 0, *every)


def pack_shared_window(window: SharedWindow) -> bytes:
    return _SHARED_WINDOW.pack(*window)
