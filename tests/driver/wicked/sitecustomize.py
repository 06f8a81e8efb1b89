# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Read by each interpreter that has this folder in PYTHONPATH: device processes do what their guest says, sessions what their VMM
says.

A guest's command whose type is ``MAGIC`` names an attack, or holds a speech, which then runs in the device process, confined as that
is; a VMM has an attack run in the session by SET_CONFIG with the flags ``ORDERS``.  Everything else is the program's own, so that honest
machines are served by the same daemon.

A number in ``PYTHON_VGPUD_LANDLOCK`` makes the kernel an older one, whose Landlock has only that version.

With ``PYTHON_LYING_SESSIONS`` in the environment sessions do likewise what their VMM says: ``lying_session``.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in TAKEN_OVER:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, *TAKEN_OVER[fullname])
        return spec


class _Loader(Loader):
    def __init__(self, honest: Loader, name: str, take_over: Callable[[Any], Any]) -> None:
        self._honest = honest
        self._name = name
        self._take_over = take_over

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._honest.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._honest.exec_module(module)
        honest = getattr(module, self._name, None)
        if honest is not None and not hasattr(honest, "wicked"):
            setattr(module, self._name, self._take_over(honest))

    def __getattr__(self, name: str) -> Any:
        # What runpy and inspect ask a loader for.
        return getattr(self._honest, name)


def _wicked_device(honest: Any) -> Any:
    # Now, while files can be read.
    attacks = importlib.import_module("attacks")
    speech = importlib.import_module("speech")

    def run(device: Any) -> Any:
        wait = device.plane.run

        def listen() -> Any:
            out = wait()
            attacks.obey(device, out.request)
            speech.obey(device, out.request)
            return out

        device.plane.run = listen
        return honest(device)

    run.wicked = True  # type: ignore[attr-defined]
    return run


def _wicked_frontend(honest: Any) -> Any:
    attacks = importlib.import_module("attacks")
    set_honestly = honest.set_config
    request = bytearray()

    async def set_config(self: Any, access: Any) -> None:
        if access.flags != attacks.ORDERS:
            await set_honestly(self, access)
            return
        request.extend(access.data)
        if request.endswith(attacks.END):
            ordered = bytes(request.removesuffix(attacks.END))
            request.clear()
            attacks.obey(None, ordered)

    honest.set_config = set_config
    honest.wicked = True
    return honest


def _with_host_blobs(honest: Any) -> Any:
    """What is said of a renderer nobody can know better: its session offers host-visible memory then."""
    honest.host_blobs = True
    return honest


def _older_landlock(newest: int) -> int:
    return int(os.environ.get("PYTHON_VGPUD_LANDLOCK", newest))


def _lying_session(honest: Any) -> Any:
    lying = importlib.import_module("lying_session")

    def main(start: Any, config: Any, ends: Any) -> int:
        if ends.frontend is not None and lying.announced(ends.frontend):
            return int(lying.Session(ends).run())
        return int(honest(start, config, ends))

    return main


# What is taken over of a module: functions that serve, in a device process once it is confined; what is answered; what is known.
TAKEN_OVER: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "vgpud.device.process": ("run", _wicked_device),
    "vgpud.device.loop": ("run", _wicked_device),
    "vgpud.device.renderers.software_2d": ("Software2D", _with_host_blobs),
    "vgpud.session.frontend": ("Frontend", _wicked_frontend),
    "vgpud.walls.landlock": ("NEWEST", _older_landlock),
}
if "PYTHON_LYING_SESSIONS" in os.environ:
    TAKEN_OVER["vgpud.session.process"] = ("main", _lying_session)

sys.meta_path.insert(0, _Finder())
