# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Read by each interpreter that has this folder in PYTHONPATH: device processes do what their guest says.

A guest's command whose type is ``MAGIC`` names an attack, which then runs in the device process, confined as that is.
Everything else is the program's own, so that honest machines are served by the same daemon.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# Where the function is that serves once the renderer has started and the process is confined, and its name.
PLACES = ("vgpud.device.process", "vgpud.device.loop")
NAME = "run"


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in PLACES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, honest: Loader) -> None:
        self._honest = honest

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._honest.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._honest.exec_module(module)
        honest = getattr(module, NAME, None)
        if honest is not None and not hasattr(honest, "wicked"):
            setattr(module, NAME, _taken_over(honest))

    def __getattr__(self, name: str) -> Any:
        # What runpy and inspect ask a loader for.
        return getattr(self._honest, name)


def _taken_over(honest: Any) -> Any:
    # Now, while files can be read.
    attacks = importlib.import_module("attacks")

    def run(device: Any) -> Any:
        wait = device.plane.run

        def listen() -> Any:
            out = wait()
            attacks.obey(device, out.request)
            return out

        device.plane.run = listen
        return honest(device)

    run.wicked = True  # type: ignore[attr-defined]
    return run


sys.meta_path.insert(0, _Finder())
