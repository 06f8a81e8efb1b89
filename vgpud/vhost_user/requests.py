# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Each request: how its payload is parsed, how many descriptors belong to it, who carries it out,
and what is answered.
"""

import errno
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import trio
from loguru import logger

from vgpud.errors import FrontendError
from vgpud.link.messages import MemoryRegion
from vgpud.vhost_user import messages
from vgpud.vhost_user.framing import Connection, Message
from vgpud.vhost_user.messages import (
    ConfigAccess,
    LogArea,
    ProtocolFeature,
    Request,
    VringAddress,
    VringDescriptor,
    VringState,
)

Descriptors = list[int]

ACKNOWLEDGED = 0
REFUSED = 1

# How long what a front-end has sent may still be carried out when it has left: a device process
# that does not answer would keep the guest's memory for longer.
LEAVING_SECONDS = 1.0


class Backend(ABC):
    """Carries out requests.

    A method raises ``FrontendError`` for what no front-end may send, and ``OSError`` when something
    cannot be done, which a front-end that asks for acknowledgements survives.  It takes the
    descriptors that it keeps out of the list.
    """

    protocol_features: ProtocolFeature

    @abstractmethod
    async def run(self) -> None:
        """Runs beside the requests, until there are no more."""

    @abstractmethod
    async def get_features(self) -> int: ...
    @abstractmethod
    async def set_features(self, features: int) -> None: ...
    @abstractmethod
    async def get_protocol_features(self) -> int: ...
    @abstractmethod
    async def set_protocol_features(self, features: int) -> None: ...
    @abstractmethod
    async def get_queue_num(self) -> int: ...
    @abstractmethod
    async def set_memory_table(
        self, regions: Sequence[MemoryRegion], descriptors: Descriptors
    ) -> None: ...
    @abstractmethod
    async def add_memory_region(self, region: MemoryRegion, descriptors: Descriptors) -> bool:
        """False if the region is not used, and so not acknowledged."""

    @abstractmethod
    async def remove_memory_region(self, region: MemoryRegion) -> None: ...
    @abstractmethod
    async def set_log_base(self, area: LogArea, descriptors: Descriptors) -> None: ...
    @abstractmethod
    async def set_vring_num(self, state: VringState) -> None: ...
    @abstractmethod
    async def set_vring_address(self, address: VringAddress) -> None: ...
    @abstractmethod
    async def set_vring_base(self, state: VringState) -> None: ...
    @abstractmethod
    async def get_vring_base(self, state: VringState) -> VringState: ...
    @abstractmethod
    async def set_vring_descriptor(
        self, which: str, vring: VringDescriptor, descriptors: Descriptors
    ) -> None: ...
    @abstractmethod
    async def set_vring_enable(self, state: VringState) -> None: ...
    @abstractmethod
    async def set_backend_channel(self, descriptors: Descriptors) -> None: ...
    @abstractmethod
    async def get_config(self, access: ConfigAccess) -> ConfigAccess: ...
    @abstractmethod
    async def set_config(self, access: ConfigAccess) -> None: ...
    @abstractmethod
    async def set_display_socket(self, descriptors: Descriptors) -> None: ...
    @abstractmethod
    async def reset_device(self) -> None: ...
    @abstractmethod
    async def get_status(self) -> int: ...
    @abstractmethod
    async def set_status(self, status: int) -> None: ...
    @abstractmethod
    async def get_shmem_config(self) -> Mapping[int, int]: ...


class Entry(NamedTuple):
    """``descriptors`` returns how many descriptors may belong to a parsed payload; ``pack`` makes
    the reply, None if there is none.
    """

    parse: Callable[[bytes], Any]
    handler: Callable[[Backend, Any, Descriptors], Awaitable[Any]]
    pack: Callable[[Any], bytes] | None = None
    descriptors: Callable[[Any], Collection[int]] = lambda parsed: (0,)


def _one(parsed: Any) -> Collection[int]:
    return (1,)


def _vring_descriptor(which: str) -> Entry:
    return Entry(
        messages.vring_descriptor,
        lambda backend, vring, fds: backend.set_vring_descriptor(which, vring, fds),
        descriptors=lambda vring: (int(vring.present),),
    )


async def _ignored(backend: Backend, parsed: Any, descriptors: Descriptors) -> None:
    """A request without effect: there is one owner, and a log's eventfd is never signalled."""


REQUESTS: dict[int, Entry] = {
    Request.GET_FEATURES: Entry(
        messages.nothing, lambda backend, _, fds: backend.get_features(), messages.pack_u64
    ),
    Request.SET_FEATURES: Entry(
        messages.u64, lambda backend, features, fds: backend.set_features(features)
    ),
    Request.GET_PROTOCOL_FEATURES: Entry(
        messages.nothing, lambda backend, _, fds: backend.get_protocol_features(), messages.pack_u64
    ),
    Request.SET_PROTOCOL_FEATURES: Entry(
        messages.u64, lambda backend, features, fds: backend.set_protocol_features(features)
    ),
    Request.SET_OWNER: Entry(messages.nothing, _ignored),
    Request.RESET_OWNER: Entry(messages.nothing, _ignored),
    Request.GET_QUEUE_NUM: Entry(
        messages.nothing, lambda backend, _, fds: backend.get_queue_num(), messages.pack_u64
    ),
    Request.GET_MAX_MEM_SLOTS: Entry(
        messages.nothing, lambda *_: _memory_slots(), messages.pack_u64
    ),
    Request.SET_MEM_TABLE: Entry(
        messages.memory_table,
        lambda backend, regions, fds: backend.set_memory_table(regions, fds),
        descriptors=lambda regions: (len(regions),),
    ),
    Request.ADD_MEM_REG: Entry(
        messages.memory_region,
        lambda backend, region, fds: backend.add_memory_region(region, fds),
        descriptors=_one,
    ),
    Request.REM_MEM_REG: Entry(
        messages.memory_region,
        lambda backend, region, fds: backend.remove_memory_region(region),
        # Some front-ends send the region's descriptor again.
        descriptors=lambda region: (0, 1),
    ),
    # The only request whose reply depends on negotiation; LOG_SHMFD is negotiated, or there is no
    # descriptor.
    Request.SET_LOG_BASE: Entry(
        messages.log_area,
        lambda backend, area, fds: backend.set_log_base(area, fds),
        lambda _: messages.pack_u64(ACKNOWLEDGED),
        descriptors=_one,
    ),
    Request.SET_LOG_FD: Entry(messages.nothing, _ignored, descriptors=_one),
    Request.SET_VRING_NUM: Entry(
        messages.vring_state, lambda backend, state, fds: backend.set_vring_num(state)
    ),
    Request.SET_VRING_ADDR: Entry(
        messages.vring_address, lambda backend, address, fds: backend.set_vring_address(address)
    ),
    Request.SET_VRING_BASE: Entry(
        messages.vring_state, lambda backend, state, fds: backend.set_vring_base(state)
    ),
    Request.GET_VRING_BASE: Entry(
        messages.vring_state,
        lambda backend, state, fds: backend.get_vring_base(state),
        messages.pack_vring_state,
    ),
    Request.SET_VRING_KICK: _vring_descriptor("kick"),
    Request.SET_VRING_CALL: _vring_descriptor("call"),
    Request.SET_VRING_ERR: _vring_descriptor("err"),
    Request.SET_VRING_ENABLE: Entry(
        messages.vring_state, lambda backend, state, fds: backend.set_vring_enable(state)
    ),
    Request.SET_BACKEND_REQ_FD: Entry(
        messages.nothing,
        lambda backend, _, fds: backend.set_backend_channel(fds),
        descriptors=_one,
    ),
    Request.GET_CONFIG: Entry(
        messages.config_access,
        lambda backend, access, fds: backend.get_config(access),
        messages.pack_config,
    ),
    Request.SET_CONFIG: Entry(
        messages.config_access, lambda backend, access, fds: backend.set_config(access)
    ),
    Request.GPU_SET_SOCKET: Entry(
        messages.nothing,
        lambda backend, _, fds: backend.set_display_socket(fds),
        descriptors=_one,
    ),
    Request.RESET_DEVICE: Entry(messages.nothing, lambda backend, _, fds: backend.reset_device()),
    Request.GET_STATUS: Entry(
        messages.nothing, lambda backend, _, fds: backend.get_status(), messages.pack_u64
    ),
    Request.SET_STATUS: Entry(
        messages.u64, lambda backend, status, fds: backend.set_status(status)
    ),
    Request.GET_SHMEM_CONFIG: Entry(
        messages.nothing,
        lambda backend, _, fds: backend.get_shmem_config(),
        messages.pack_shared_regions,
    ),
}


async def _memory_slots() -> int:
    return messages.MAXIMUM_MEMORY_SLOTS


async def serve(connection: Connection, backend: Backend) -> None:
    """Carries out one request after another until the front-end leaves; ``FrontendError``, in a
    group, when it breaks the protocol, or has ended and left its connection to others.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_follow_sender, connection)
        nursery.start_soon(_follow_end, connection, nursery.cancel_scope)
        nursery.start_soon(backend.run)
        await _serve(connection, backend)
        nursery.cancel_scope.cancel()


async def _follow_sender(connection: Connection) -> None:
    process_id = await connection.sender_left()
    raise FrontendError(f"process {process_id} has ended, but others hold its connection open")


async def _follow_end(connection: Connection, serving: trio.CancelScope) -> None:
    await connection.hung_up()
    await trio.sleep(LEAVING_SECONDS)
    serving.cancel()


async def _serve(connection: Connection, backend: Backend) -> None:
    while (message := await connection.receive()) is not None:
        with message:
            connection.check_foreign(message.descriptors)
            payload = await _carry_out(backend, message)
            if payload is not None:
                await connection.reply(message.request, payload)


async def _carry_out(backend: Backend, message: Message) -> bytes | None:
    """The payload of the reply, if there is to be one."""
    try:
        return await _dispatch(backend, message)
    except OSError as error:
        text = f"{name(message.request)}: {error}"
        if not _wants_acknowledgement(backend, message) or _has_reply(message):
            raise FrontendError(text) from error
        logger.warning("refused: {}", text)
        return messages.pack_u64(REFUSED)


async def _dispatch(backend: Backend, message: Message) -> bytes | None:
    entry = REQUESTS.get(message.request)
    if entry is None:
        raise OSError(errno.EOPNOTSUPP, "not offered")
    parsed = entry.parse(message.payload)
    count = len(message.descriptors)
    if count not in entry.descriptors(parsed):
        raise FrontendError(f"{name(message.request)} with {count} descriptors")
    result = await entry.handler(backend, parsed, message.descriptors)
    if entry.pack is not None:
        return entry.pack(result)
    if not _wants_acknowledgement(backend, message):
        return None
    return messages.pack_u64(REFUSED if result is False else ACKNOWLEDGED)


def _wants_acknowledgement(backend: Backend, message: Message) -> bool:
    # Checked after the request was carried out: SET_PROTOCOL_FEATURES may turn on its own
    # acknowledgement.
    return message.needs_reply and ProtocolFeature.REPLY_ACK in backend.protocol_features


def _has_reply(message: Message) -> bool:
    entry = REQUESTS.get(message.request)
    return entry is not None and entry.pack is not None


def name(request: int) -> str:
    """The name of a request, for the log."""
    return Request(request).name if request in REQUESTS else f"request {request}"
