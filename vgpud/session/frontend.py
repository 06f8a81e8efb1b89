# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a front-end asks for, carried out: negotiation, memory, rings, display, resets.

Whatever a device process has to know is changed and sent under the supervisor's lock, so that a
successor gets all of it exactly once.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from loguru import logger

from vgpud.errors import FrontendError
from vgpud.link import messages as link
from vgpud.link.messages import MemoryRegion
from vgpud.modes import needs_shared_memory
from vgpud.session.backend_channels import BackendChannels
from vgpud.session.config_space import ConfigSpace
from vgpud.session.displays import Displays
from vgpud.session.guest_memory import DirtyLog, GuestMemory, MemoryChange
from vgpud.session.shared_memory import SharedMemory
from vgpud.session.shared_region import PAGE
from vgpud.session.supervisor import Supervisor
from vgpud.session.vring import Vring
from vgpud.vhost_user.descriptors import check_eventfd
from vgpud.vhost_user.messages import (
    BackendRequest,
    ConfigAccess,
    Feature,
    LogArea,
    ProtocolFeature,
    VringAddress,
    VringDescriptor,
    VringState,
)
from vgpud.vhost_user.requests import Backend
from vgpud.wire.virtio_gpu import VIRTIO_GPU_EVENT_DISPLAY

FEATURES = (
    Feature.LOG_ALL
    | Feature.INDIRECT_DESC
    | Feature.EVENT_IDX
    | Feature.PROTOCOL_FEATURES
    | Feature.VERSION_1
    | Feature.RING_PACKED
)
# The device's own features, which depend on its renderer.
DEVICE_FEATURES = (
    Feature.VIRGL
    | Feature.EDID
    | Feature.RESOURCE_UUID
    | Feature.RESOURCE_BLOB
    | Feature.CONTEXT_INIT
    | Feature.BLOB_ALIGNMENT
)
PROTOCOL_FEATURES = (
    ProtocolFeature.MQ
    | ProtocolFeature.LOG_SHMFD
    | ProtocolFeature.REPLY_ACK
    | ProtocolFeature.BACKEND_REQ
    | ProtocolFeature.CONFIG
    | ProtocolFeature.BACKEND_SEND_FD
    | ProtocolFeature.RESET_DEVICE
    | ProtocolFeature.CONFIGURE_MEM_SLOTS
    | ProtocolFeature.STATUS
)
MAXIMUM_STATUS = 0xFF
# Drivers round a blob's size up to this on their own.  Linux 7.2 no longer does so when it is told
# of an alignment: then programs have to, and those that do not know that are refused.  So it is
# told only where sizes that are rounded to this could not be mapped.
GUEST_PAGE = 4096


class Frontend(Backend):
    """``vrings`` are the control and the cursor queue's; ``on_reset`` forgets what the guest made."""

    def __init__(
        self,
        num_scanouts: int,
        supervisor: Supervisor,
        memory: GuestMemory,
        shared: SharedMemory,
        channels: BackendChannels,
        vrings: Sequence[Vring],
        displays: Displays,
        on_reset: Callable[[], None],
    ) -> None:
        self.protocol_features = ProtocolFeature(0)
        self._config_space = ConfigSpace(num_scanouts)
        self._supervisor = supervisor
        self._memory = memory
        self._shared = shared
        self._channels = channels
        self._vrings = vrings
        self._displays = displays
        self._on_reset = on_reset
        self._status = 0

    # --- negotiation

    async def get_features(self) -> int:
        started = await self._supervisor.started()
        features = FEATURES | Feature(started.device_features) & DEVICE_FEATURES
        if await self._blob_alignment() > GUEST_PAGE:
            features |= Feature.BLOB_ALIGNMENT
        return int(features)

    async def set_features(self, features: int) -> None:
        # Front-ends set bits of their own transport that we never offered, such as RING_RESET.
        known = Feature(features & int(FEATURES | DEVICE_FEATURES))
        async with self._supervisor.lock:
            for vring in self._vrings:
                vring.features = known
            self._memory.set_logging(Feature.LOG_ALL in known)
            await self._supervisor.tell(link.SetFeatures(int(known), self._shared.there))

    async def get_protocol_features(self) -> int:
        return int(await self._protocol_features())

    async def set_protocol_features(self, features: int) -> None:
        offered = await self._protocol_features()
        self.protocol_features = ProtocolFeature(features & int(offered))
        self._shared.protocol_features = self.protocol_features

    async def _protocol_features(self) -> ProtocolFeature:
        """Those that are offered; SHMEM only where the renderer's library makes blobs."""
        started = await self._supervisor.started()
        return PROTOCOL_FEATURES | (
            self._shared.offered if started.host_blobs else ProtocolFeature(0)
        )

    async def _blob_alignment(self) -> int:
        """The alignment of mapped blobs, in bytes; 0 when there are none."""
        offered = await self._protocol_features()
        return PAGE if ProtocolFeature.SHMEM in offered else 0

    async def get_queue_num(self) -> int:
        return len(self._vrings)

    async def set_backend_channel(self, descriptors: list[int]) -> None:
        self._channels.replace(descriptors.pop())

    async def run(self) -> None:
        """Reads what comes on the backend channel."""
        await self._channels.run()

    async def get_status(self) -> int:
        return self._status

    async def set_status(self, status: int) -> None:
        if status > MAXIMUM_STATUS:
            raise FrontendError(f"a device status of {status:#x}")
        self._status = status

    # --- configuration space

    async def get_config(self, access: ConfigAccess) -> ConfigAccess:
        started = await self._supervisor.started()
        alignment = await self._blob_alignment()
        capsets = [
            one for one in started.capsets if self._shared.there or not needs_shared_memory(one)
        ]
        return self._config_space.read(access, len(capsets), alignment)

    async def set_config(self, access: ConfigAccess) -> None:
        self._config_space.write(access)

    async def announce_displays(self) -> bool:
        """Has the guest ask again which displays there are; false when the front-end will not pass
        it on, ``FrontendError`` when it does not answer.  The task that reads the front-end's
        requests must not call it: the front-end may need that task.
        """
        self._config_space.events_read |= VIRTIO_GPU_EVENT_DISPLAY
        if not self._channels.there or ProtocolFeature.CONFIG not in self.protocol_features:
            return False
        if ProtocolFeature.REPLY_ACK in self.protocol_features:
            return await self._channels.ask(BackendRequest.CONFIG_CHANGE_MSG) == 0
        await self._channels.tell(BackendRequest.CONFIG_CHANGE_MSG)
        return True

    # --- memory

    async def set_memory_table(
        self, regions: Sequence[MemoryRegion], descriptors: list[int]
    ) -> None:
        windows = {one for one in descriptors if self._shared.is_window(one)}
        ordinary = [one for one in descriptors if one not in windows]
        pairs = zip(regions, descriptors, strict=True)
        regions = tuple(region for region, one in pairs if one not in windows)
        async with self._supervisor.lock:
            with self._memory.change() as change:
                change.replace(regions, ordinary)
                await self._make(change, link.SetMemory(regions), ordinary)
                descriptors[:] = windows
            await self._start_rings()

    async def add_memory_region(self, region: MemoryRegion, descriptors: list[int]) -> bool:
        if self._shared.is_window(descriptors[0]):
            return self._add_window(region)
        async with self._supervisor.lock:
            with self._memory.change() as change:
                change.add(region, descriptors[0])
                await self._make(change, link.AddMemory(region), descriptors)
            await self._start_rings()
        return True

    def _add_window(self, region: MemoryRegion) -> bool:
        """Whether to acknowledge a window.  QEMU 11.1 keeps a list of acknowledged regions, and
        crashes when its device starts again and a window of that list has gone with a reset.  While
        the device runs it accepts a refusal, but it does not start a device that refuses one.
        """
        if any(vring.started for vring in self._vrings):
            return False
        self._shared.note(region)
        return True

    async def remove_memory_region(self, region: MemoryRegion) -> None:
        if self._shared.forget(region):
            return
        async with self._supervisor.lock:
            known = self._memory.find(region)
            with self._memory.change() as change:
                change.remove(known)
                await self._make(change, link.RemoveMemory(known), [])
            await self._start_rings()

    async def get_shmem_config(self) -> Mapping[int, int]:
        if ProtocolFeature.SHMEM not in self.protocol_features:
            raise FrontendError("GET_SHMEM_CONFIG without SHMEM")
        sizes = self._shared.sizes()
        if self._shared.there and sizes:
            await self._supervisor.need_vulkan()
        return sizes

    async def set_log_base(self, area: LogArea, descriptors: list[int]) -> None:
        if not area.size:
            raise FrontendError("a dirty log of no bytes")
        async with self._supervisor.lock:
            with self._memory.change() as change:
                change.set_log(DirtyLog(descriptors[0], area.size, area.offset))
                await self._make(change, link.SetLog(area.size, area.offset), descriptors)

    async def _make(
        self, change: MemoryChange, message: link.Request, descriptors: list[int]
    ) -> None:
        """Takes the descriptors.  The device process is the last that can refuse: then OSError, and
        memory is unchanged in both processes.
        """
        await self._supervisor.tell(message, descriptors)
        change.commit()
        descriptors.clear()

    async def _start_rings(self) -> None:
        """Starts the rings that lacked their memory."""
        for vring in self._vrings:
            await vring.start_if_ready()

    # --- rings

    def _vring(self, index: int) -> Vring:
        if index >= len(self._vrings):
            raise FrontendError(f"there is no ring {index}")
        return self._vrings[index]

    async def set_vring_num(self, state: VringState) -> None:
        vring = self._vring(state.vring)
        async with self._supervisor.lock:
            vring.set_size(state.num)
            await vring.start_if_ready()

    async def set_vring_address(self, address: VringAddress) -> None:
        vring = self._vring(address.vring)
        await vring.pause(address)
        async with self._supervisor.lock:
            await vring.set_address(address)

    async def set_vring_base(self, state: VringState) -> None:
        vring = self._vring(state.vring)
        async with self._supervisor.lock:
            # A driver that was unbound, or a guest that has rebooted, gives no other sign.
            if vring.set_base(state.num):
                await self._reset()

    async def get_vring_base(self, state: VringState) -> VringState:
        vring = self._vring(state.vring)
        self._shared.hold()
        return state._replace(num=await vring.stop())

    async def set_vring_descriptor(
        self, which: str, vring: VringDescriptor, descriptors: list[int]
    ) -> None:
        ring = self._vring(vring.vring)
        for descriptor in descriptors:
            check_eventfd(descriptor)
        async with self._supervisor.lock:
            await ring.set_descriptor(which, descriptors.pop() if vring.present else None)

    async def set_vring_enable(self, state: VringState) -> None:
        vring = self._vring(state.vring)
        if state.num > 1:
            raise FrontendError(f"SET_VRING_ENABLE with {state.num}")
        if not state.num:
            self._shared.hold()
        async with self._supervisor.lock:
            await vring.set_enabled(bool(state.num))
        if all(one.started and one.enabled for one in self._vrings):
            self._shared.go_on()

    # --- display and resets

    async def set_display_socket(self, descriptors: list[int]) -> None:
        if await self._displays.set_socket(descriptors):
            async with self._supervisor.lock:
                await self._supervisor.tell(link.Repaint())

    async def reset_device(self) -> None:
        self._status = 0
        self._config_space.events_read = 0
        for vring in self._vrings:
            await vring.stop()
            vring.enabled = False
        async with self._supervisor.lock:
            await self._reset()

    async def _reset(self) -> None:
        """Forgets what the guest made, as the guest has."""
        for vring in self._vrings:
            vring.forget_base()
        with suppress(OSError):
            await self._supervisor.tell(link.Reset())
        self._on_reset()
        logger.debug("the device is reset")
        self._supervisor.revive()
