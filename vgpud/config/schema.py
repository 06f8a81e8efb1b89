# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Everything that can be configured, declared once.

A class is a table of the TOML file and a field is a key of it; `option` gives each field its kind,
its flags and its help.
Command line, environment, file, ``--print-config`` and the manuals all derive from this (see `vgpud.config.options`).
"""

import os
from pathlib import Path
from typing import Any, TypeVar

import attrs
from attrs import frozen

from vgpud.config.address import Address, LocalAddress
from vgpud.config.kinds import (
    Boolean,
    Choice,
    Choices,
    FilePath,
    Integer,
    KeyboardLayout,
    Kind,
    Permissions,
    Seconds,
    Size,
    Text,
)
from vgpud.modes import CAPSETS, MODES

T = TypeVar("T")
KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

MAX_SCANOUTS = 16  # VIRTIO_GPU_MAX_SCANOUTS, VIRTIO 1.2 section 5.7.6.8
MAX_U32 = (1 << 32) - 1

LEVELS = ("debug", "info", "warning", "error")
TRANSPORTS = ("auto", "dmabuf", "pixels")


@frozen
class Declaration:
    """What describes an option besides its name, type and default."""

    kind: Kind[Any]
    help: str
    flags: tuple[str, ...] = ()
    presets: dict[str, str] = attrs.field(factory=dict)  # a flag without value → what it stands for
    variable: str = ""  # another environment variable, besides the one named after the flag


def option(
    default: T,
    kind: Kind[Any],
    help: str,
    *flags: str,
    presets: dict[str, str] | None = None,
    variable: str = "",
) -> T:
    """A field that is an option.  It has the type of its default, so that type checkers accept
    it.
    """
    declaration = Declaration(kind, help, flags, presets or {}, variable)
    field: T = attrs.field(default=default, metadata={"option": declaration})
    return field


@frozen
class Socket:
    """Where a VMM connects: `path` or `fd`. Without either it is /run/vgpud/vgpud.sock for root,
    and $XDG_RUNTIME_DIR/vgpud/vgpud.sock for other users; the folder is made if it is missing.
    """

    path: Path | None = option(
        None,
        FilePath(),
        "Listen at this Unix domain socket, whose path has at most 107 bytes. A stale socket file is replaced; "
        "one in use is an error.",
        "-s",
        "--socket-path",
    )
    fd: int | None = option(
        None,
        Integer(0, 1 << 20),
        "Use this inherited descriptor: a listening socket, or one that is connected to a VMM, "
        "after which the program ends.",
        "--fd",
    )
    mode: int = option(
        0o660, Permissions(), "Permissions of the socket file, in octal.", "--socket-mode"
    )
    group: str | None = option(
        None, Text("GROUP"), "Group that owns the socket file, by name or number.", "--socket-group"
    )


@frozen
class Renderer:
    """How the guest's commands become pictures."""

    mode: str = option(
        "2d",
        Choice(tuple(MODES), "MODE", also={"virgl-renderer": "virglrenderer"}),
        "What draws: 2d draws in software; null accepts every command and draws nothing; "
        "virglrenderer draws OpenGL and Vulkan with the host's libvirglrenderer, on a GPU or in software; "
        "gfxstream draws OpenGL ES and Vulkan with the host's gfxstream, through "
        "librutabaga_gfx_ffi, or lets guests open windows on the host's Wayland compositor "
        "(docs/gfxstream.md). If the library cannot start, vgpud ends with status 69.",
        "-g",
        "--gpu-mode",
        presets={"--virgl": "virglrenderer"},
    )
    capsets: tuple[str, ...] = option(
        (),
        Choices(tuple(CAPSETS), "CAPSET[,CAPSET...]"),
        "Capability sets to offer; if none is given, all that the mode has and that can start. "
        "virglrenderer has virgl and virgl2 for OpenGL and venus for Vulkan (drm is not available); gfxstream has gfxstream-vulkan, "
        "gfxstream-gles, gfxstream-composer and cross-domain, which is offered only when it is "
        "named and works without the library gfxstream; 2d and null have none.",
        "-c",
        "--capset",
    )
    egl: bool = option(True, Boolean(), "Let the renderer use EGL.", "--use-egl")
    glx: bool = option(False, Boolean(), "Let the renderer use GLX.", "--use-glx")
    gles: bool = option(True, Boolean(), "Let the renderer use OpenGL ES.", "--use-gles")
    surfaceless: bool = option(
        True, Boolean(), "Let the renderer work without a window system.", "--use-surfaceless"
    )
    gpu_device: Path | None = option(
        None,
        FilePath(),
        "DRM render node of the GPU to draw with, such as /dev/dri/renderD128. "
        "The modes 2d and null need none and ignore it.",
        "--gpu-device",
        "--render-node",
    )

    wayland: Path | None = option(
        None,
        FilePath(),
        "Socket of a Wayland compositor of the host, such as /run/user/1000/wayland-0, for guests "
        "that are offered the capability set cross-domain: their programs open windows there. Such "
        "a guest can do whatever any program can do on that compositor. One that has taken over "
        "its device process can connect to any Unix socket that the daemon's user may connect to "
        "(docs/gfxstream.md).",
        "--wayland",
    )
    hostmem: int = option(
        4 * GIB,
        Size(0, 1 * TIB, multiple=os.sysconf("SC_PAGE_SIZE")),
        "Size of the guest's address space into which host memory can be mapped, for VMMs that "
        "have such a region and renderers that have such memory. It takes no host memory until "
        "something is mapped; 0 means no region.",
        "--hostmem",
    )


@frozen
class DisplayOptions:
    """Where pictures go."""

    headless: bool = option(
        False,
        Boolean(),
        "Show nothing: the VMM's display socket is not used, and the guest is told of the displays "
        "configured here.",
        "--headless",
    )
    transport: str = option(
        "auto",
        Choice(TRANSPORTS, "TRANSPORT"),
        "How the frames that OpenGL draws reach the VMM: dmabuf hands over the DMA buffers of a GPU, which "
        "the VMM's display has to take; pixels reads them back and sends them; auto takes DMA buffers "
        "where the renderer draws on a GPU. Frames that cannot be sent as DMA buffers are sent as "
        "pixels.",
        "--display-transport",
    )


USA = "us"


@frozen
class View:
    """Who may look at a machine's screen with a VNC viewer."""

    address: Address | None = option(
        None,
        LocalAddress(),
        "Let VNC viewers look at a machine's screen at this address: unix:PATH, a socket for those who may "
        "use the control socket, or HOST:PORT on a loopback address, for everybody on this computer. "
        "Where several machines are served, each has a socket at PATH.NAME.",
        "--view",
    )
    qmp: Path | None = option(
        None,
        FilePath(),
        "Let viewers press keys and move the pointer, through the VMM's QMP socket, one that only "
        "vgpud uses (-qmp unix:PATH,server=on,wait=off). Without it viewers can only look.",
        "--view-qmp",
    )
    layout: str = option(
        USA,
        KeyboardLayout(),
        "The keyboard layout that the guest is set to, by its name in setxkbmap(1): de, or with a "
        "variant de(nodeadkeys). A viewer's characters are typed as on such a keyboard, whatever "
        "the viewer's own is. All but us need libxkbcommon.",
        "--view-layout",
    )


@frozen
class Display:
    """A display that the guest is told of when its VMM provides none."""

    width: int = option(1280, Integer(1, 16384), "Width in pixels of the preferred mode.")
    height: int = option(800, Integer(1, 16384), "Height in pixels of the preferred mode.")
    connected: bool = option(
        True,
        Boolean(),
        "Whether it is plugged in when a machine connects; vgpuctl displays set changes it later.",
    )


@frozen
class Machine:
    """The machine of a daemon that serves only one. Otherwise a machine's name is what its VMM
    says.
    """

    name: str | None = option(
        None,
        Text("NAME"),
        "The machine's name if its VMM does not say one, as QEMU does by -name; without either it "
        "is the instance's name.",
        "--machine-name",
    )


@frozen
class Limits:
    """What a host serves, and what one virtual machine may take of it. A machine too many is
    refused; a guest's command that would exceed its machine's limits is answered with
    OUT_OF_MEMORY.
    """

    machines: int = option(500, Integer(1, 1 << 20), "Machines that are served at the same time.")
    connections_of_user: int = option(
        500, Integer(1, 1 << 20), "Machines of one user, the one that a VMM runs as."
    )
    silent_connections: int = option(
        64,
        Integer(1, 1 << 16),
        "Connections that have sent nothing yet; at one more, the oldest one of the user with the "
        "most is closed.",
    )
    first_message: float = option(
        30.0, Seconds(0.1, 86400), "Time within which a connection must send something."
    )
    guest_memory: int = option(
        1 * TIB,
        Size(1 * MIB, 1 << 60),
        "Guest memory that a VMM may share; one that shares more is refused.",
    )
    image_memory: int = option(
        1 * GIB,
        Size(1 * MIB, 1 * TIB),
        "Host memory for the images of all resources together; an image that is shown counts four "
        "times.",
    )
    resources: int = option(8192, Integer(1, MAX_U32), "Resources that exist at the same time.")
    contexts: int = option(
        64, Integer(1, MAX_U32), "Rendering contexts that exist at the same time."
    )
    backing_entries: int = option(
        1 << 20, Integer(1, MAX_U32), "Pieces of guest memory that back all resources together."
    )
    vulkan_memory: int = option(
        4 * GIB,
        Size(256 * MIB, 1 * TIB),
        "Memory that each process that executes Vulkan for a guest may map; there is one for each "
        "of the guest's programs that use Vulkan, with gfxstream one for all of them together.",
    )
    request_bytes: int = option(4 * MIB, Size(4 * KIB, 1 * GIB), "Length of one command.")
    submit_bytes: int = option(
        16 * MIB, Size(4 * KIB, 1 * GIB), "Length of one submission of 3D commands."
    )
    blob_memory: int = option(
        4 * GIB,
        Size(1 * MIB, 1 * TIB),
        "Size of all blobs in host memory together, as the guest states it.",
    )


@frozen
class DeviceProcess:
    """How often a device process is started again after it has died."""

    restarts: int = option(
        5, Integer(0, 1000), "Restarts within the window before the device is given up."
    )
    restart_window: float = option(
        60.0, Seconds(1, 86400), "Length of the window in which restarts are counted."
    )
    restart_delay: float = option(
        0.1,
        Seconds(0, 60),
        "Wait before the second restart within the window; doubled for each further one.",
    )
    vulkan_timeout: float = option(
        3.0,
        Seconds(0.2, 60),
        "How long a command may wait for the process that executes a program's Vulkan. Then that "
        "process is killed, and after as long again the render server, which ends the Vulkan of "
        "all of the guest's programs.",
    )


@frozen
class Log:
    """What is logged on standard error."""

    level: str = option(
        "info",
        Choice(LEVELS, "LEVEL"),
        "Least important messages to log: debug, info, warning or error.",
        "--log-level",
        variable="VGPUD_LOG",
    )
    format: str = option(
        "auto",
        Choice(("auto", "text", "journal", "json"), "FORMAT"),
        "text has a time on each line, journal a priority as in sd-daemon(3), json an object with "
        "time, level, instance, machine, module, message and extra; auto is journal where standard "
        "error goes to systemd's journal, and text elsewhere.",
        "--log-format",
    )


@frozen
class Config:
    """The whole configuration; each default is what the program uses when nothing is configured."""

    socket: Socket = attrs.field(factory=Socket)
    renderer: Renderer = attrs.field(factory=Renderer)
    display: DisplayOptions = attrs.field(factory=DisplayOptions)
    view: View = attrs.field(factory=View)
    displays: tuple[Display, ...] = (Display(),)
    machine: Machine = attrs.field(factory=Machine)
    limits: Limits = attrs.field(factory=Limits)
    device_process: DeviceProcess = attrs.field(factory=DeviceProcess)
    log: Log = attrs.field(factory=Log)
