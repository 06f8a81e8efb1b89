# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What daemon, spawner and session say to each other, and the descriptors that travel beside it.

A class names the meaning; docs/links.md says who may send it and who believes it.  Numbers are unsigned.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from vgpud.link.messages import ContextCreated, DisplaySize

SESSION, DEVICE, RENDER_SERVER, VIEW = "session", "device", "render-server", "view"
"""The kinds of process that the spawner forks."""

DEVICE_MODULE = "vgpud.device"
"""Where a line in the log comes from that a device process has given."""

# --- parts of messages


class Scanout(NamedTuple):
    """What a scanout shows: a rectangle, in pixels, of a resource."""

    scanout_id: int
    resource_id: int
    x: int
    y: int
    width: int
    height: int


class ResourceUse(NamedTuple):
    """A resource; ``kind`` is 2d or 3d, ``bytes`` those of the host, as far as ``known``."""

    resource_id: int
    kind: str
    format: int
    width: int
    height: int
    bytes: int
    known: bool


class QueueUse(NamedTuple):
    """A virtqueue: its entries, chains that were taken and not given back, those of them with a fence."""

    size: int
    in_flight: int
    fences_in_flight: int


class Counters(NamedTuple):
    """What a device has done since its session began (``struct counters`` of native/shared/state.h)."""

    commands: int
    errors: int
    out_of_memory: int
    fences: int
    transfers: int
    transfer_bytes: int
    flushes: int
    present_records: int
    deferred: int
    kicks: int
    calls: int
    exits: int
    contexts_lost: int


class Presented(NamedTuple):
    """What a machine's displays were given: frames, those of them in DMA buffers, and bytes."""

    updates: int
    dmabuf_updates: int
    bytes: int


class Use(NamedTuple):
    """How much of a limit is used."""

    used: int
    limit: int


class Limits(NamedTuple):
    """Of a machine: bytes of guest memory, and of the host's for images and blobs, numbers of all else.  ``images`` is what
    its processes' descriptors allow, and 0 of 0 before there is a device process; ``vulkan_memory`` is that of each process that
    executes Vulkan, 0 of 0 where there is none, and what is used of it the daemon's to say; ``hostmem`` are bytes of the host-visible memory
    that something is mapped at, 0 of 0 when the VMM has none; ``memory_slots`` are regions of memory that the VMM has been
    promised, guest memory's and what is mapped.
    """

    guest_memory: Use
    image_memory: Use
    images: Use
    resources: Use
    contexts: Use
    backing_entries: Use
    blob_memory: Use
    vulkan_memory: Use
    hostmem: Use
    memory_slots: Use


class VulkanLosses(NamedTuple):
    """Of who executes Vulkan: workers that were killed since they did not answer, render servers that have ended, and why there
    was such a one last, empty before.
    """

    workers_killed: int
    servers_ended: int
    last_reason: str


class Driver(NamedTuple):
    """How far the guest's driver has come: the features that were offered and those that were accepted, as virtio numbers
    them, the capability sets that it has got, and how many contexts it has made since it began.
    """

    offered: int
    accepted: int
    capsets: tuple[int, ...]
    contexts: int


# --- to the spawner


class StartSession(NamedTuple):
    """Forks a session.  Descriptors: orders, reports, log, log of its device processes; its meeting socket
    if it ``meets``; the connection if there is a ``frontend``.  ``config`` is the text of config.plain.

    With a ``refusal`` it serves nobody, and only closes the connection.  ``called`` is what the machine is called if its
    VMM does not say that, ``folders`` are where its own file may be.
    """

    machine: int
    frontend: bool
    meets: bool
    config: str
    refusal: str
    called: str
    folders: tuple[str, ...]


class AdoptSession(NamedTuple):
    """A session of another spawner's asks this one from now on.  Descriptors: grants, wishes, log of its
    device processes.  ``config`` as in StartSession.
    """

    machine: int
    config: str


class Ping(NamedTuple):
    """Asks for a Pong with the same serial."""

    serial: int


class Stop(NamedTuple):
    """The end."""


# --- from the spawner to the daemon


class Forked(NamedTuple):
    """A process of that kind is there."""

    machine: int
    kind: str
    pid: int


class NotForked(NamedTuple):
    """It is not; ``error`` is an errno."""

    machine: int
    kind: str
    error: int


class Ended(NamedTuple):
    """It has ended: by ``signal``, or when that is 0 with the exit status ``code``; ``out_of_memory`` as in ``Ending``."""

    machine: int
    kind: str
    pid: int
    code: int
    signal: int
    out_of_memory: bool


class Pong(NamedTuple):
    """Answers Ping."""

    serial: int


# --- from the spawner to a session


class DeviceStarted(NamedTuple):
    """Descriptors: the session's ends of the link and of life."""

    pid: int


class DeviceNotStarted(NamedTuple):
    """``error`` is an errno."""

    error: int


class DeviceEnded(NamedTuple):
    """As Ended."""

    pid: int
    code: int
    signal: int
    out_of_memory: bool


class ServerStarted(NamedTuple):
    """The render server of the device process ``device``.  Descriptors: the session's end of its life."""

    device: int
    pid: int


class ServerNotStarted(NamedTuple):
    """``error`` is an errno; that device process has none, ever."""

    device: int
    error: int


class ServerEnded(NamedTuple):
    """A render server, as Ended."""

    pid: int
    code: int
    signal: int
    out_of_memory: bool


class ViewStarted(NamedTuple):
    """Descriptors: the session's ends of the view channel and of life."""

    pid: int


class ViewNotStarted(NamedTuple):
    """``error`` is an errno."""

    error: int


# --- to a session


class AskReport(NamedTuple):
    """Asks for a Report with the same serial."""

    serial: int


class ServeClient(NamedTuple):
    """A control client asks for this machine; ``request`` is its line.  Descriptors: its connection."""

    request: str


SHIFT, ALTGR = 1, 2


class Stroke(NamedTuple):
    """A key by QEMU's name of it (QKeyCode), with those of SHIFT and ALTGR in ``modifiers``, and of the others in ``matters``
    without.  ``capitals``: Caps Lock does to it what Shift does.
    """

    code: str
    modifiers: int
    matters: int
    capitals: bool


class Typed(NamedTuple):
    """How a keyboard types what X11 calls ``keysym``: keys one after the other, of which the last may be held."""

    keysym: int
    strokes: tuple[Stroke, ...]


class HoldQmp(NamedTuple):
    """``layout`` is the guest's keyboard, empty: that of the USA.  Descriptors: a socket that is about to be connected to the
    VMM's QMP: whatever that puts into it is the session's.
    """

    layout: tuple[Typed, ...]


class ServeViewer(NamedTuple):
    """Somebody wants to see this machine's screen.  ``qmp``: what was held is connected.  Descriptors: his connection,
    unread.
    """

    qmp: bool


class SetLogLevel(NamedTuple):
    """As the configuration names it."""

    level: str


class CloseConnection(NamedTuple):
    """Another of this machine's user, which is refused.  Descriptors: that connection."""


class UseSpawner(NamedTuple):
    """Whom to ask for device processes from now on.  Descriptors: grants, wishes."""


class Meet(NamedTuple):
    """From the next daemon.  Descriptors: orders, reports, log."""

    level: str


# --- from a session


class Report(NamedTuple):
    """What there is to say of a machine.  ``renderer`` is empty before it has started, ``device_process`` 0
    when there is none; ``outputs`` holds when the VMM does not decide them.  ``last_reason`` is why there was a
    restart last, and empty before; ``given_up``: there will be no other until the guest begins anew.  ``viewers`` is how
    many look on.
    """

    serial: int
    renderer: str
    device_process: int
    restarts: int
    last_reason: str
    given_up: bool
    vulkan: VulkanLosses
    driver: Driver
    display: bool
    viewers: int
    decides_outputs: bool
    outputs: tuple[DisplaySize, ...]
    guest_memory_bytes: int
    limits: Limits
    scanouts: tuple[Scanout, ...]
    contexts: tuple[ContextCreated, ...]
    resources: tuple[ResourceUse, ...]
    control_queue: QueueUse
    cursor_queue: QueueUse
    counters: Counters
    presented: Presented


class Hello(NamedTuple):
    """``sender`` is the process that the VMM's first message came from, 0 when that is not known;
    ``user`` is who it runs as, ``milliseconds`` are those since the session began, ``name`` is what the machine is
    called, empty when that is not known.
    """

    sender: int
    user: int
    milliseconds: int
    name: str


class Tried(NamedTuple):
    """The renderer starts, and calls itself so."""

    description: str


class NotTried(NamedTuple):
    """It does not."""

    reason: str
    exit_code: int


TO_SPAWNER = (StartSession, AdoptSession, Ping, Stop)
FROM_SPAWNER = (Forked, NotForked, Ended, Pong)
GRANTS = (
    DeviceStarted,
    DeviceNotStarted,
    DeviceEnded,
    ServerStarted,
    ServerNotStarted,
    ServerEnded,
    ViewStarted,
    ViewNotStarted,
)
TO_SESSION = (
    AskReport,
    Ping,
    ServeClient,
    HoldQmp,
    ServeViewer,
    CloseConnection,
    SetLogLevel,
    UseSpawner,
    Stop,
)
MEETING = (Meet,)
FROM_SESSION = (Report, Pong, Hello, Tried, NotTried)

_DESCRIPTORS: dict[type[Any], Callable[[Any], int]] = {
    StartSession: lambda message: 4 + message.meets + message.frontend,
    AdoptSession: lambda message: 3,
    DeviceStarted: lambda message: 2,
    ServerStarted: lambda message: 1,
    ViewStarted: lambda message: 2,
    ServeClient: lambda message: 1,
    HoldQmp: lambda message: 1,
    ServeViewer: lambda message: 1,
    CloseConnection: lambda message: 1,
    UseSpawner: lambda message: 2,
    Meet: lambda message: 3,
}


def descriptors_of(message: Any) -> int:
    """How many descriptors travel with the message."""
    count = _DESCRIPTORS.get(type(message))
    return count(message) if count else 0
