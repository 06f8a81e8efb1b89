# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whether viewers can be served, before anybody is told that they can."""

import importlib.util
import subprocess
import sys

from vgpud.config.schema import View
from vgpud.errors import ConfigurationError

EXTENSION = "vgpud._view"
SECONDS = 30


def check_view(options: View) -> None:
    """``ConfigurationError`` when viewers are wanted and cannot be served."""
    if options.address is None:
        return
    if importlib.util.find_spec(EXTENSION) is None:
        raise ConfigurationError(
            "view.address: this vgpud was built without libvncserver, which serves viewers"
            " (on Debian: apt install libvncserver-dev, then build vgpud again)"
        )
    # In a process of its own: none that serves no viewer is to have the library.
    tried = subprocess.run(
        [sys.executable, "-P", "-c", f"import {EXTENSION}"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    if tried.returncode:
        lines = tried.stderr.splitlines()
        raise ConfigurationError(
            f"view.address: {lines[-1] if lines else EXTENSION} (on Debian: apt install libvncserver1)"
        )
