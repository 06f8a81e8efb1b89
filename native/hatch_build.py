# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Hatchling's hook: puts the compiled extension into a wheel, or beside the package for an editable
installation.
"""

import importlib.util
import os
import re
import shlex
import shutil
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def _build_module(root: Path) -> ModuleType:
    """``native/build.py``, which is a script and not part of a package."""
    specification = importlib.util.spec_from_file_location("native_build", root / "native/build.py")
    if specification is None or specification.loader is None:
        raise ImportError("native/build.py is missing")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _missing() -> str | None:
    """What is missing to compile, as a sentence; None if nothing is."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return (
            f"vgpud is partly in C, and there is no C compiler: {compiler} was not found "
            "(on Debian: apt install gcc libc6-dev)"
        )
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        return f"vgpud is partly in C, and {header} is missing (on Debian: apt install python3-dev)"
    return None


def _tag() -> str | None:
    """The wheel's tag: for all interpreters with the stable interface, on this platform or on the
    ``WHEEL_PLATFORM`` that the compiler builds for.  None: only for this interpreter.
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return None
    platform = os.environ.get("WHEEL_PLATFORM") or sysconfig.get_platform()
    return f"cp311-abi3-{re.sub('[-.]', '_', platform)}"


class NativeExtension(BuildHookInterface[Any]):
    """Runs for wheels only: a source distribution has the C files themselves."""

    PLUGIN_NAME = "native"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        missing = _missing()
        if missing is not None:
            self.app.abort(missing)
        root = Path(self.root)
        if version == "editable":
            _build_module(root).build_all(root / "vgpud")
        else:
            self._work = tempfile.TemporaryDirectory()
            for extension in _build_module(root).build_all(Path(self._work.name)):
                build_data["force_include"][str(extension)] = f"vgpud/{extension.name}"
        build_data["pure_python"] = False
        tag = _tag()
        build_data["tag" if tag else "infer_tag"] = tag or True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_work"):
            self._work.cleanup()
