# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whether viewers can be served, and which keys they have, checked before the daemon starts."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import vgpud
from vgpud.config.schema import USA, View
from vgpud.errors import ConfigurationError
from vgpud.tree.keyboard import Stroke, Typed

EXTENSION = "vgpud._view"
LAYOUT = "vgpud.cli.keyboard_layout"
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
    # In a process of its own: only a process that serves a viewer may have the library loaded.
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


def read_layout(options: View) -> tuple[Typed, ...]:
    """The guests' keyboard, if viewers may press its keys; empty: the US layout.
    ``ConfigurationError``.
    """
    if options.qmp is None or options.layout == USA:
        return ()
    # Likewise libxkbcommon.
    tried = subprocess.run(
        [sys.executable, "-P", "-m", LAYOUT, options.layout],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(vgpud.__file__).parent.parent)},
        timeout=SECONDS,
    )
    if tried.returncode:
        lines = tried.stderr.splitlines()
        raise ConfigurationError(f"view.layout: {lines[-1] if lines else 'libxkbcommon fails'}")
    return tuple(
        Typed(keysym, tuple(Stroke(*one) for one in strokes))
        for keysym, strokes in json.loads(tried.stdout)
    )
