# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""virgl_render_server, which executes Vulkan for libvirglrenderer: found, confined and started. The
library could fork it itself.  Here the spawner does, so that the device process needs neither to
fork, nor to execute, nor to send a signal.
"""

import fcntl
import os
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from vgpud.device.misleading import clean_environment
from vgpud.tree.life import end_with
from vgpud.walls import landlock, missing, seccomp

PROGRAM = "virgl_render_server"
# The variable that names another server (virglrenderer, since 0.10).
VARIABLE = "RENDER_SERVER_EXEC_PATH"
FOLDERS = ("/usr/libexec", "/usr/local/libexec", "/usr/lib", "/usr/lib/virglrenderer")
"""Where distributions have it."""

# The variables by which the Vulkan loader finds drivers (its document LoaderDriverInterface.md).
DRIVER_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")
DRIVER_FOLDERS = ("/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d")
FOR_GUESTS = ("virtio_icd", "gfxstream_vk_icd")
"""Drivers for guests, which speak to a device like ours."""


class Server(NamedTuple):
    """How a render server is started.  ``memory`` is what each of its processes may map, in
    bytes.
    """

    program: Path
    gpu_device: str
    memory: int


def find() -> Path | None:
    """The program, if it is installed."""
    named = os.environ.get(VARIABLE) or shutil.which(PROGRAM)
    places = [Path(named)] if named else [Path(folder) / PROGRAM for folder in FOLDERS]
    return next((place for place in places if os.access(place, os.X_OK)), None)


def why_not() -> str:
    """What is missing for Vulkan, and which package has it; empty when nothing seems to be
    missing.
    """
    if find() is None:
        return f"{PROGRAM} is not installed (Debian's package virgl-server)"
    if not any(_drivers()):
        return "there is no Vulkan driver (Debian's package mesa-vulkan-drivers)"
    return ""


def _drivers() -> Iterator[Path]:
    named = (os.environ.get(name, "").split(os.pathsep) for name in DRIVER_VARIABLES)
    files = [Path(word) for words in named for word in words if word]
    for folder in DRIVER_FOLDERS:
        files += Path(folder).glob("*.json")
    yield from (file for file in files if file.is_file() and not _is_for_guests(file))


def _is_for_guests(file: Path) -> bool:
    return file.name.startswith(FOR_GUESTS)


def execute(server: Server, end: int, life: int) -> NoReturn:
    """Becomes the render server, whose other end of the socket ``end`` the library has.

    It and its workers are a process group; when the other end of the pipe ``life`` is closed, the
    kernel kills all of them.
    """
    os.setsid()
    end_with(life, group=True)
    _limit(server.memory)
    clean_environment(os.environ)
    # A shader that one guest's process wrote would be run by another's; besides, nothing can be
    # written.
    os.environ["MESA_SHADER_CACHE_DISABLE"] = "true"
    open_doors = missing(landlock.confine_to_vulkan, server.gpu_device, server.program)
    scoped = not open_doors and landlock.scopes_signals()
    open_doors += missing(seccomp.confine, "vulkan-scoped" if scoped else "vulkan")
    for door in open_doors:
        sys.stderr.write(f"the render server is not confined in full: {door}\n")
    sys.stderr.flush()
    for kept in (end, life):
        fcntl.fcntl(kept, fcntl.F_SETFD, 0)
    os.execve(server.program, [PROGRAM, "--socket-fd", str(end)], os.environ)  # noqa: S606


def _limit(memory: int) -> None:
    """Limits what a process may map, and how long a memory file may be."""
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
        _, hard = resource.getrlimit(kind)
        most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(kind, (most, most))
