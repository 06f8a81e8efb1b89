# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The messages between the session and a device process. A field of type ``bytes`` (at most one for
each message) travels as a blob after the JSON text;
every number is unsigned.  File descriptors are not fields: they travel beside the message, in the
order that its docstring names, and :func:`descriptors_of` says how many.  The sender of a request
fills in ``serial``.

Messages are compared by their class first: as tuples, ``Done(1) == Pong(1)``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

# --- parts of messages


class MemoryRegion(NamedTuple):
    """One region of guest memory, as VHOST_USER_ADD_MEM_REG gives it; all in bytes."""

    guest_address: int
    size: int
    user_address: int
    mmap_offset: int


class QueueConfig(NamedTuple):
    """Where a virtqueue is: user addresses, or guest-physical ones with ``gpa_addresses``."""

    size: int
    features: int
    descriptor: int
    used: int
    available: int
    gpa_addresses: bool = False
    log_used: bool = False
    log_address: int = 0


class DisplaySize(NamedTuple):
    """A display, in pixels."""

    width: int
    height: int


NO_DISPLAY = DisplaySize(0, 0)
"""An output that nothing is plugged into."""


class Limits(NamedTuple):
    """Quotas of one device: counts, and bytes where the name says so."""

    image_bytes: int
    resources: int
    contexts: int
    backing_entries: int
    request_bytes: int
    submit_bytes: int
    blob_bytes: int


class RendererOptions(NamedTuple):
    """Which renderer, and what it may use; ``gpu_device`` and ``wayland``, a compositor's socket, are paths or empty.

    ``transport`` says how what it draws is shown: ``auto``, ``dmabuf`` or ``pixels``.
    """

    mode: str
    capsets: tuple[str, ...] = ()
    egl: bool = True
    glx: bool = False
    gles: bool = True
    surfaceless: bool = True
    gpu_device: str = ""
    transport: str = "auto"
    wayland: str = ""


# --- from the session: requests, each answered with a reply that has the same serial


class Start(NamedTuple):
    """The first message; descriptors: session state, present channel.  Reply: Started or Failed.

    ``displays`` is what GET_DISPLAY_INFO says when the session has no answer.  ``vulkan``: its render server is there; otherwise
    whatever needs one is offered untried, until TryVulkan.  ``vulkan_memory``: bytes that a library may allocate which executes the
    guest's Vulkan in the device process; 0: as many as it likes.
    """

    renderer: RendererOptions
    limits: Limits
    num_scanouts: int
    displays: tuple[DisplaySize, ...]
    vulkan: bool = False
    vulkan_memory: int = 0
    serial: int = 0


class SetMemory(NamedTuple):
    """The whole memory table; descriptors: one for each region."""

    regions: tuple[MemoryRegion, ...]
    serial: int = 0


class AddMemory(NamedTuple):
    """One more region; descriptors: its memory."""

    region: MemoryRegion
    serial: int = 0


class RemoveMemory(NamedTuple):
    """One region less."""

    region: MemoryRegion
    serial: int = 0


class SetLog(NamedTuple):
    """The dirty log; descriptors: its memory.  ``size`` 0: no log, and no descriptor."""

    size: int
    offset: int
    serial: int = 0


class SetFeatures(NamedTuple):
    """The features of VHOST_USER_SET_FEATURES; may come while the queues run (VHOST_F_LOG_ALL).
    ``shared_memory``: whether the
    guest has host-visible memory.
    """

    features: int
    shared_memory: bool = False
    serial: int = 0


class StartQueue(NamedTuple):
    """Starts the control queue; descriptors: those of kick, call, err that the flags name.

    ``recover``: the queue goes on where a device process that died left it, and what that process
    had in flight is answered.
    """

    config: QueueConfig
    base: int
    recover: bool
    kick: bool
    call: bool
    err: bool
    serial: int = 0


class StopQueue(NamedTuple):
    """Stops the control queue: everything pending is answered first.  Reply: QueueStopped."""

    serial: int = 0


class EnableQueue(NamedTuple):
    """VHOST_USER_SET_VRING_ENABLE for the control queue."""

    enabled: bool
    serial: int = 0


class SetQueueDescriptor(NamedTuple):
    """Replaces ``which`` (kick, call, err) of the queue; descriptors: one, or none when not
    ``present``.
    """

    which: str
    present: bool
    serial: int = 0


class Reset(NamedTuple):
    """VIRTIO device reset: every resource, scanout and pending command is gone."""

    serial: int = 0


class Repaint(NamedTuple):
    """There is a new display: every enabled scanout is presented whole."""

    serial: int = 0


class ShowPixels(NamedTuple):
    """As Repaint; and until the next ShowPixels, with ``pixels`` frames are shown as pixels, for a
    viewer, not as DMA buffers.
    """

    pixels: bool
    serial: int = 0


class TryVulkan(NamedTuple):
    """There is a render server now.  Reply: VulkanTried."""

    serial: int = 0


class ReadBack(NamedTuple):
    """Reads back what a scanout shows from a DMA buffer into its image, for a screenshot."""

    scanout_id: int
    serial: int = 0


class AdoptResource(NamedTuple):
    """Recovery: takes over an image of a device process that died; descriptors: the image."""

    resource_id: int
    format: int
    width: int
    height: int
    serial: int = 0


class AdoptResource3D(NamedTuple):
    """Recovery: makes a resource of the renderer again; what was drawn into it is lost."""

    resource_id: int
    target: int
    format: int
    bind: int
    width: int
    height: int
    depth: int
    array_size: int
    last_level: int
    nr_samples: int
    flags: int
    serial: int = 0


class AdoptBlob(NamedTuple):
    """Recovery: a guest blob of ``size`` bytes, whose pixels are in its backing."""

    resource_id: int
    size: int
    serial: int = 0


class AdoptHostBlob(NamedTuple):
    """Recovery: a host blob of ``size`` bytes, of which only its number and its mapping are
    left.
    """

    resource_id: int
    size: int
    serial: int = 0


class AdoptPicture(NamedTuple):
    """Recovery: what a scanout showed of a host blob that is lost; descriptors: the image."""

    scanout_id: int
    width: int
    height: int
    serial: int = 0


class AdoptBacking(NamedTuple):
    """Recovery: ``entries`` is an array of virtio_gpu_mem_entry."""

    resource_id: int
    entries: bytes
    serial: int = 0


class AdoptUuid(NamedTuple):
    """Recovery: ``uuid`` is 16 bytes."""

    resource_id: int
    uuid: bytes
    serial: int = 0


class Ping(NamedTuple):
    """Asks for a sign of life.  Reply: Pong."""

    serial: int = 0


# --- from the session: the answer to a question of the device process


class Answer(NamedTuple):
    """``error`` is an errno, or 0 with the ``data`` that the question names."""

    request: int
    error: int
    data: bytes


# --- from the device process: replies


class Started(NamedTuple):
    """The renderer works; ``capsets`` are numbers of capability sets, ``device_features`` VIRTIO_GPU_F_* bits.

    ``host_blobs``: there may be blobs to map into host-visible memory.
    """

    capsets: tuple[int, ...]
    device_features: int
    description: str
    host_blobs: bool = False
    serial: int = 0


class VulkanTried(NamedTuple):
    """``capsets`` and ``description`` as in Started; with a ``reason`` those that need a render
    server are left out.
    """

    reason: str
    capsets: tuple[int, ...]
    description: str
    serial: int


class Failed(NamedTuple):
    """The renderer does not work; the process ends with ``exit_code``."""

    reason: str
    exit_code: int
    serial: int = 0


class Done(NamedTuple):
    """The request was carried out."""

    serial: int


class Refused(NamedTuple):
    """The request was not carried out; ``error`` is an errno."""

    error: int
    serial: int


class QueueStopped(NamedTuple):
    """``base`` is what VHOST_USER_GET_VRING_BASE answers."""

    base: int
    serial: int


class Pong(NamedTuple):
    """The device process is not stuck."""

    serial: int


# --- from the device process: the journal, each sent before the guest is answered


class ResourceCreated(NamedTuple):
    """Descriptors: the image."""

    resource_id: int
    format: int
    width: int
    height: int


class Resource3DCreated(NamedTuple):
    """A resource of the renderer, as virtio_gpu_resource_create_3d describes it."""

    resource_id: int
    target: int
    format: int
    bind: int
    width: int
    height: int
    depth: int
    array_size: int
    last_level: int
    nr_samples: int
    flags: int


class BlobCreated(NamedTuple):
    """A guest blob, ``size`` in bytes; its backing follows."""

    resource_id: int
    size: int


class HostBlobCreated(NamedTuple):
    """A blob that the renderer's library has made, ``size`` in bytes; the guest's part of it, if it has one, follows
    as its backing.
    """

    resource_id: int
    size: int


class ImageMade(NamedTuple):
    """For screenshots and viewers: the image from which a resource of the renderer is shown;
    descriptors: the image.  The next process makes its own.
    """

    resource_id: int


class PictureMade(NamedTuple):
    """What a scanout shows of a host blob, for screenshots and for the next process; descriptors:
    the image, of the size of
    what is shown.  Takes the place of the scanout's one before.
    """

    scanout_id: int
    width: int
    height: int


class PictureGone(NamedTuple):
    """The scanout shows something else, or nothing."""

    scanout_id: int


class ResourceGone(NamedTuple):
    """The resource, its backing and its UUID are gone."""

    resource_id: int


class BackingAttached(NamedTuple):
    """``entries`` is an array of virtio_gpu_mem_entry."""

    resource_id: int
    entries: bytes


class BackingDetached(NamedTuple):
    """The resource has no backing any more."""

    resource_id: int


class UuidAssigned(NamedTuple):
    """``uuid`` is 16 bytes."""

    resource_id: int
    uuid: bytes


class ContextCreated(NamedTuple):
    """Only for status: a context dies with the process.  ``capset_id`` 0: the renderer's choice."""

    ctx_id: int
    capset_id: int
    debug_name: str


class ContextGone(NamedTuple):
    """The context was destroyed."""

    ctx_id: int


class CapsetAsked(NamedTuple):
    """Only for status: the guest has got this capability set; sent once for each."""

    capset_id: int


# --- from the device process: questions, each answered by an Answer with its ``request``, at any time and in any order


class GetDisplayInfo(NamedTuple):
    """Asks for a whole virtio_gpu_resp_display_info; ENODEV when there is no display to ask."""

    request: int


class GetEdid(NamedTuple):
    """Asks for a whole virtio_gpu_resp_edid; ENODEV when there is no display to ask."""

    request: int
    scanout_id: int


class MapBlob(NamedTuple):
    """Asks to map a part of a file into host-visible memory; all in bytes.  Descriptors: the file.
    Carried out in the order of asking; the answer has no data.
    """

    request: int
    resource_id: int
    offset: int
    length: int
    file_offset: int


class UnmapBlob(NamedTuple):
    """Asks to unmap a resource from host-visible memory; answered as MapBlob."""

    request: int
    resource_id: int


# --- from the device process: reports


class QueueBroken(NamedTuple):
    """The control queue cannot be trusted any more and was stopped; the process lives on."""

    reason: str


class MemoryFault(NamedTuple):
    """Guest memory shrank underneath (SIGBUS): the session is over."""


class Log(NamedTuple):
    """A line to log; ``level`` as loguru names it."""

    level: str
    text: str


Reply = Started | VulkanTried | Failed | Done | Refused | QueueStopped | Pong
Request = (
    Start
    | SetMemory
    | AddMemory
    | RemoveMemory
    | SetLog
    | SetFeatures
    | StartQueue
    | StopQueue
    | EnableQueue
    | SetQueueDescriptor
    | Reset
    | Repaint
    | ShowPixels
    | TryVulkan
    | ReadBack
    | AdoptResource
    | AdoptResource3D
    | AdoptBlob
    | AdoptHostBlob
    | AdoptPicture
    | AdoptBacking
    | AdoptUuid
    | Ping
)
Journal = (
    ResourceCreated
    | Resource3DCreated
    | BlobCreated
    | HostBlobCreated
    | ResourceGone
    | BackingAttached
    | BackingDetached
    | UuidAssigned
    | ImageMade
    | PictureMade
    | PictureGone
    | ContextCreated
    | ContextGone
    | CapsetAsked
)
Question = GetDisplayInfo | GetEdid | MapBlob | UnmapBlob
Report = Journal | Question | QueueBroken | MemoryFault | Log
FromSession = Request | Answer
FromDevice = Reply | Report
Message = FromSession | FromDevice

REPLIES: tuple[type[Reply], ...] = Reply.__args__

FROM_SESSION: tuple[type[FromSession], ...] = FromSession.__args__
FROM_DEVICE: tuple[type[FromDevice], ...] = FromDevice.__args__
# A message's number on the wire is its place here.
KINDS: tuple[type[Message], ...] = Message.__args__

_DESCRIPTORS: dict[type[Message], Callable[[Any], int]] = {
    Start: lambda message: 2,
    SetMemory: lambda message: len(message.regions),
    AddMemory: lambda message: 1,
    SetLog: lambda message: int(message.size > 0),
    StartQueue: lambda message: message.kick + message.call + message.err,
    SetQueueDescriptor: lambda message: int(message.present),
    AdoptResource: lambda message: 1,
    AdoptPicture: lambda message: 1,
    ResourceCreated: lambda message: 1,
    ImageMade: lambda message: 1,
    PictureMade: lambda message: 1,
    MapBlob: lambda message: 1,
}


def descriptors_of(message: Message) -> int:
    """How many file descriptors travel with the message."""
    count = _DESCRIPTORS.get(type(message))
    return count(message) if count else 0


def may_carry_descriptors(kind: type[Message]) -> bool:
    """Whether messages of this kind may have file descriptors."""
    return kind in _DESCRIPTORS
