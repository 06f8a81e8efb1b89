# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the session asks of the device: one function for each message, in a table.

The queue does not run meanwhile, so every change of guest memory is a barrier, as it has to be.
A function returns its reply, or None for Done; an ``OSError`` becomes Refused.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vgpud.device.device import Device
from vgpud.link import messages
from vgpud.link.fields import LinkError
from vgpud.link.memory_table import MemoryTable
from vgpud.wire.layout import size_of
from vgpud.wire.virtio_gpu import virtio_gpu_mem_entry, virtio_gpu_resource_create_3d

VHOST_F_LOG_ALL = 26
ENTRY_SIZE = size_of(virtio_gpu_mem_entry)

Descriptors = list[int]


def handle(device: Device, message: messages.Message, descriptors: Descriptors) -> None:
    """Does what the message asks for and replies; ``LinkError`` when the session may not send
    it.
    """
    if isinstance(message, messages.Answer):
        device.questions.answered(message)
        return
    function = _REQUESTS.get(type(message))
    if function is None:
        raise LinkError(f"{type(message).__name__} is not for the device process")
    serial: int = message.serial  # type: ignore[union-attr]
    try:
        reply = function(device, message, descriptors)
    except OSError as error:
        reply = messages.Refused(error.errno or errno.EIO, serial)
    device.link.send(reply or messages.Done(serial))


# --- guest memory


@contextmanager
def _other_memory(device: Device, more: int = 0) -> Iterator[MemoryTable]:
    """A copy of the table, to be changed, which then becomes the one in use: all of it, or
    nothing.  ``more``: bytes that are mapped for it.
    """
    with device.plane.memory_change() as table:
        device.address_space.make_room(device.plane.memory_bytes() + more)
        try:
            yield table
            table.use()
        finally:
            device.address_space.make_room(device.plane.memory_bytes())
    lost = device.plane.lost_backings()
    if lost:
        text = f"{lost} backings were detached: their guest memory has gone"
        device.link.send(messages.Log("WARNING", text))


def _set_memory(device: Device, message: messages.SetMemory, descriptors: Descriptors) -> None:
    with _other_memory(device, sum(region.size for region in message.regions)) as table:
        table.clear()
        for region, descriptor in zip(message.regions, descriptors, strict=True):
            table.add(region, descriptor)


def _add_memory(device: Device, message: messages.AddMemory, descriptors: Descriptors) -> None:
    with _other_memory(device, message.region.size) as table:
        table.add(message.region, descriptors[0])


def _remove_memory(
    device: Device, message: messages.RemoveMemory, descriptors: Descriptors
) -> None:
    with _other_memory(device) as table:
        table.remove(message.region)


def _set_log(device: Device, message: messages.SetLog, descriptors: Descriptors) -> None:
    descriptor = descriptors[0] if descriptors else -1
    with _other_memory(device, message.size) as table:
        table.set_log(descriptor, message.size, message.offset)


def _set_features(device: Device, message: messages.SetFeatures, descriptors: Descriptors) -> None:
    device.features = message.features
    device.shared_memory = message.shared_memory
    device.plane.memory_set_logging(bool(message.features & 1 << VHOST_F_LOG_ALL))


# --- the queue


def _start_queue(device: Device, message: messages.StartQueue, descriptors: Descriptors) -> None:
    given = iter(descriptors)
    kick, call, err = (
        next(given) if present else -1 for present in (message.kick, message.call, message.err)
    )
    device.plane.queue_start(message.config, message.base, message.recover, kick, call, err)


def _stop_queue(
    device: Device, message: messages.StopQueue, descriptors: Descriptors
) -> messages.QueueStopped:
    base = device.plane.queue_stop()
    device.questions.clear()
    return messages.QueueStopped(base, message.serial)


def _enable_queue(device: Device, message: messages.EnableQueue, descriptors: Descriptors) -> None:
    device.plane.queue_set_enabled(message.enabled)


def _set_queue_descriptor(
    device: Device, message: messages.SetQueueDescriptor, descriptors: Descriptors
) -> None:
    device.plane.queue_set_descriptor(message.which, descriptors[0] if descriptors else -1)


# --- the device


def _reset(device: Device, message: messages.Reset, descriptors: Descriptors) -> None:
    device.reset()


def _repaint(device: Device, message: messages.Repaint, descriptors: Descriptors) -> None:
    device.plane.repaint()


def _show_pixels(device: Device, message: messages.ShowPixels, descriptors: Descriptors) -> None:
    device.plane.show_pixels(message.pixels)


def _try_vulkan(
    device: Device, message: messages.TryVulkan, descriptors: Descriptors
) -> messages.VulkanTried:
    renderer = device.renderer
    reason = renderer.try_vulkan()
    capsets = tuple(capset.capset_id for capset in renderer.capsets)
    return messages.VulkanTried(reason, capsets, renderer.description, message.serial)


def _read_back(device: Device, message: messages.ReadBack, descriptors: Descriptors) -> None:
    device.plane.scanout_read_back(message.scanout_id)


def _ping(device: Device, message: messages.Ping, descriptors: Descriptors) -> messages.Pong:
    return messages.Pong(message.serial)


# --- recovery


def _adopt_resource(
    device: Device, message: messages.AdoptResource, descriptors: Descriptors
) -> None:
    device.plane.resource_adopt_2d(
        message.resource_id, message.format, message.width, message.height, descriptors[0]
    )


def _adopt_resource_3d(
    device: Device, message: messages.AdoptResource3D, descriptors: Descriptors
) -> None:
    device.plane.resource_create_3d(virtio_gpu_resource_create_3d(*message[:-1]))


def _adopt_blob(device: Device, message: messages.AdoptBlob, descriptors: Descriptors) -> None:
    device.plane.resource_adopt_blob(message.resource_id, message.size)


def _adopt_host_blob(
    device: Device, message: messages.AdoptHostBlob, descriptors: Descriptors
) -> None:
    device.plane.resource_adopt_host_blob(message.resource_id, message.size)


def _adopt_picture(
    device: Device, message: messages.AdoptPicture, descriptors: Descriptors
) -> None:
    device.pictures.adopt(message.scanout_id, message.width, message.height, descriptors[0])


def _adopt_backing(
    device: Device, message: messages.AdoptBacking, descriptors: Descriptors
) -> None:
    nr_entries = len(message.entries) // ENTRY_SIZE
    device.plane.resource_attach_backing(message.resource_id, message.entries, nr_entries)


def _adopt_uuid(device: Device, message: messages.AdoptUuid, descriptors: Descriptors) -> None:
    device.plane.resource_set_uuid(message.resource_id, message.uuid)


_Function = Callable[[Device, Any, Descriptors], messages.Reply | None]

_REQUESTS: dict[type[messages.Message], _Function] = {
    messages.SetMemory: _set_memory,
    messages.AddMemory: _add_memory,
    messages.RemoveMemory: _remove_memory,
    messages.SetLog: _set_log,
    messages.SetFeatures: _set_features,
    messages.StartQueue: _start_queue,
    messages.StopQueue: _stop_queue,
    messages.EnableQueue: _enable_queue,
    messages.SetQueueDescriptor: _set_queue_descriptor,
    messages.Reset: _reset,
    messages.Repaint: _repaint,
    messages.ReadBack: _read_back,
    messages.ShowPixels: _show_pixels,
    messages.TryVulkan: _try_vulkan,
    messages.AdoptResource: _adopt_resource,
    messages.AdoptResource3D: _adopt_resource_3d,
    messages.AdoptBlob: _adopt_blob,
    messages.AdoptHostBlob: _adopt_host_blob,
    messages.AdoptPicture: _adopt_picture,
    messages.AdoptBacking: _adopt_backing,
    messages.AdoptUuid: _adopt_uuid,
    messages.Ping: _ping,
}
