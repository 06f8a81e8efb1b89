# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The messages between daemon, spawner and session, and the descriptors that travel with them.

A class's name says what it means; docs/links.md says who may send it and who trusts it.  Numbers
are unsigned.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from vgpud.link.messages import ContextCreated, DisplaySize
from vgpud.tree.keyboard import Typed

SESSION, DEVICE, RENDER_SERVER, VIEW = "session", "device", "render-server", "view"
"""The kinds of process that the spawner forks."""

DEVICE_MODULE = "vgpud.device"
"""The module of log lines that come from a device process."""

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
    """A resource; ``kind`` is 2d or 3d, ``bytes`` are host memory, if ``known``."""

    resource_id: int
    kind: str
    format: int
    width: int
    height: int
    bytes: int
    known: bool


class QueueUse(NamedTuple):
    """A virtqueue: its entries, the chains that were taken and not given back, and those with a
    fence.
    """

    size: int
    in_flight: int
    fences_in_flight: int


class Counters(NamedTuple):
    """What a device has done since its session started (``struct counters`` of
    native/shared/state.h).
    """

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
    """What was sent to a machine's displays: frames, those in DMA buffers, and bytes."""

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
    """Processes that execute Vulkan: workers that were killed because they did not answer, render
    servers that have ended, and why there
    was such a one last, empty before.
    """

    workers_killed: int
    servers_ended: int
    last_reason: str


class Driver(NamedTuple):
    """How far the guest's driver has come: the features that were offered and those that were
    accepted, with VIRTIO's numbers, the capability sets that it has got, and how many contexts it
    has made since it started.
    """

    offered: int
    accepted: int
    capsets: tuple[int, ...]
    contexts: int


# --- to the spawner


class StartSession(NamedTuple):
    """Forks a session.  Descriptors: orders, reports, log, log of its device processes; its meeting socket
    if it ``meets``; the connection if there is a ``frontend``.  ``config`` is the text of config.plain.

    With a ``refusal`` it serves nobody, and only closes the connection.  ``called`` is the
    machine's name if its VMM does not say one, ``folders`` are where its own file may be.
    """

    machine: int
    frontend: bool
    meets: bool
    config: str
    refusal: str
    called: str
    folders: tuple[str, ...]


class AdoptSession(NamedTuple):
    """A session of another spawner asks this one from now on.  Descriptors: grants, wishes, log of
    its device processes.  ``config`` as in StartSession.
    """

    machine: int
    config: str


class Ping(NamedTuple):
    """Asks for a Pong with the same serial."""

    serial: int


class Stop(NamedTuple):
    """Asks the process to end."""


# --- from the spawner to the daemon


class Forked(NamedTuple):
    """A process of that kind was forked."""

    machine: int
    kind: str
    pid: int


class NotForked(NamedTuple):
    """It was not forked; ``error`` is an errno."""

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
    """A client of the control socket asks for this machine; ``request`` is its line.  Descriptors:
    its connection.
    """

    request: str


class HoldQmp(NamedTuple):
    """``layout`` is the guest's keyboard, empty: the US layout.  Descriptors: a socket that is
    about to be connected to the VMM's QMP: whatever the VMM puts into it is the session's.
    """

    layout: tuple[Typed, ...]


class ServeViewer(NamedTuple):
    """Somebody wants to see this machine's screen.  ``qmp``: the socket of HoldQmp is connected.
    Descriptors: the viewer's connection, unread.
    """

    qmp: bool


class SetLogLevel(NamedTuple):
    """The level, as the configuration names it."""

    level: str


class CloseConnection(NamedTuple):
    """A connection of the same user that is refused.  Descriptors: that connection."""


class UseSpawner(NamedTuple):
    """The spawner to ask for device processes from now on.  Descriptors: grants, wishes."""


class Meet(NamedTuple):
    """The next daemon takes over.  Descriptors: orders, reports, log."""

    level: str


# --- from a session


class Report(NamedTuple):
    """The state of a machine.  ``renderer`` is empty before it has started, ``device_process`` 0
    when there is none; ``outputs`` are used when the VMM does not decide them.  ``last_reason`` is
    the reason of the last restart, empty before the first; ``given_up``: there is no other restart
    until the guest starts again.  ``viewers`` is how many viewers there are.
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
    ``user`` is who it runs as, ``milliseconds`` is the session's age, ``name`` is the machine's
    name, empty when that is not known.
    """

    sender: int
    user: int
    milliseconds: int
    name: str


class Tried(NamedTuple):
    """The renderer starts; ``description`` is what it calls itself."""

    description: str


class NotTried(NamedTuple):
    """The renderer does not start."""

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
