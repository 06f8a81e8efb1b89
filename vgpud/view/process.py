# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The view process, forked by the spawner for one viewer, which may send anything."""

import errno
import os
import sys

from vgpud.errors import EXIT_INTERNAL, EXIT_OK
from vgpud.tree.life import end_with
from vgpud.walls import landlock, missing, seccomp


def main(channel: int, life: int) -> int:
    """Serves the viewer whose connection comes by the channel; the process's exit status.

    When the session closes the other end of the pipe ``life``, or dies, the kernel kills this
    process.
    """
    end_with(life)
    try:
        # It loads libvncserver and what that needs, which no other process may have.
        import vgpud._view as extension
    except ImportError as error:
        return _fail(str(error))
    for door in missing(landlock.confine_to_nothing) + missing(seccomp.confine, "view"):
        sys.stderr.write(f"<4>a view process is not confined in full: {door}\n")
    # Only from here on is anything read that the viewer sends.
    result = int(extension.lib.view_serve(channel))
    if result in (0, -errno.EPIPE):
        return EXIT_OK
    return _fail(os.strerror(-result))


def _fail(reason: str) -> int:
    sys.stderr.write(f"<3>a viewer is not served: {reason}\n")
    return EXIT_INTERNAL
