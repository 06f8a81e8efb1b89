# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m vgpud.device.renderers.probe OPTIONS``: tries whether a mode that needs a library can
start, in a process that may die.

``OPTIONS`` is a JSON object with the fields of ``RendererOptions``, and ``vulkan_memory``.  Standard output gets one JSON object:
what was found, or the reason why not; the exit code is 0 or 69.
"""

import json
import os
import socket
import sys

from vgpud.device import render_server
from vgpud.device.renderers import rutabaga_library
from vgpud.device.renderers.interface import Server
from vgpud.device.renderers.virgl_library import VirglLibrary
from vgpud.errors import EXIT_INTERNAL, EXIT_OK, RendererError
from vgpud.link.messages import RendererOptions
from vgpud.modes import wants_render_server


def probe(options: RendererOptions, vulkan_memory: int | None) -> dict[str, object]:
    """What the renderer is; ``RendererError`` when it cannot start."""
    if options.mode == rutabaga_library.MODE:
        return _probe_rutabaga(options)
    return _probe_virgl(options, vulkan_memory)


def _probe_rutabaga(options: RendererOptions) -> dict[str, object]:
    library = rutabaga_library.RutabagaLibrary(options)
    return {
        "library": library.description,
        "capsets": [offered.capset.capset_id for offered in library.offered],
    }


def _probe_virgl(options: RendererOptions, vulkan_memory: int | None) -> dict[str, object]:
    """Tries Vulkan only if memory is given for it."""
    server = -1
    if vulkan_memory is not None and wants_render_server(options.mode, options.capsets):
        server = _start_server(options.gpu_device, vulkan_memory)
    library = VirglLibrary(options, Server(server, started=True))
    found: dict[str, object] = {
        "library": library.description,
        "capsets": [offered.capset.capset_id for offered in library.offered],
    }
    if library.without_vulkan:
        found["without"] = {"venus": library.without_vulkan}
    return found


def _start_server(gpu_device: str, memory: int) -> int:
    """Starts a render server as the spawner does; its socket, or -1 if it is not installed.  It
    ends with this process, by its life pipe.
    """
    program = render_server.find()
    if program is None:
        return -1
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    life, our_life = os.pipe()
    if os.fork() == 0:
        try:
            os.close(our_life)
            ours.close()
            server = render_server.Server(program, gpu_device, memory)
            render_server.execute(server, theirs.fileno(), life)
        finally:
            os._exit(EXIT_INTERNAL)
    os.close(life)
    theirs.close()
    return ours.detach()


def main(text: str) -> int:
    fields = json.loads(text)
    fields["capsets"] = tuple(fields.get("capsets", ()))
    memory = fields.pop("vulkan_memory", None)
    try:
        found = probe(RendererOptions(**fields), memory)
    except RendererError as error:
        sys.stdout.write(json.dumps({"reason": str(error)}) + "\n")
        return error.exit_code
    sys.stdout.write(json.dumps(found) + "\n")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
