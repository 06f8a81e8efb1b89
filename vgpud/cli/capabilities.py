# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``--print-capabilities``, as QEMU's vhost-user document has it for back-end programs."""

import json
import sys

PRINT_CAPABILITIES = "--print-capabilities"


def print_capabilities() -> None:
    """JSON on standard output and nothing else.

    A feature is named only when it works: libvirt fails to start a machine on a host without a render node when
    ``render-node`` is named, and ``virgl`` asks for a renderer.
    """
    features: list[str] = []
    sys.stdout.write(json.dumps({"type": "gpu", "features": features}) + "\n")
