# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m vgpud.device.renderers.probe OPTIONS``: whether the virglrenderer mode can start, in a process that may die.

``OPTIONS`` is a JSON object with the fields of ``RendererOptions``.  Standard output gets one JSON object: what was
found, or the reason why not; the exit code is 0 or 69.
"""

import json
import sys

from vgpud.device.renderers.virgl_library import VirglLibrary
from vgpud.errors import EXIT_OK, RendererError
from vgpud.link.messages import RendererOptions


def probe(options: RendererOptions) -> dict[str, object]:
    """What the renderer is; ``RendererError`` when it cannot start."""
    library = VirglLibrary(options)
    capsets = [offered.capset.capset_id for offered in library.offered]
    return {"library": library.description, "capsets": capsets}


def main(text: str) -> int:
    fields = json.loads(text)
    fields["capsets"] = tuple(fields.get("capsets", ()))
    try:
        found = probe(RendererOptions(**fields))
    except RendererError as error:
        sys.stdout.write(json.dumps({"reason": str(error)}) + "\n")
        return error.exit_code
    sys.stdout.write(json.dumps(found) + "\n")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
