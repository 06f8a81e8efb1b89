# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A library in front of libvirglrenderer that exports textures without a GPU; see ``exporter.c``."""

import ctypes
import os
import subprocess
from pathlib import Path

LIBRARY = "libvirglrenderer.so.1"


def _real_library() -> str:
    """The path that the dynamic linker finds."""
    ctypes.CDLL(LIBRARY)
    maps = Path("/proc/self/maps").read_text().split()
    return next(word for word in maps if "/libvirglrenderer.so" in word)


def build(folder: Path, export: str) -> Path:
    """Compiles it into ``folder``, which is for LD_LIBRARY_PATH; ``export``: how that ends."""
    # A library with the real one's path for a name: the real one's own name would be the stand-in's.
    stub = folder / "stub.so"
    compiler: list[str | Path] = ["cc", "-shared", "-fPIC", "-o"]
    name = f"-Wl,-soname,{_real_library()}"
    subprocess.run([*compiler, stub, "-x", "c", "/dev/null", name], check=True)
    source = Path(__file__).with_name("exporter.c")
    options: list[str | Path] = ["-Wall", "-Wextra", "-Werror", f"-DEXPORT={export}"]
    needed: list[str | Path] = ["-Wl,--no-as-needed", stub]
    subprocess.run([*compiler, folder / LIBRARY, *options, source, *needed], check=True)
    return folder


_CUSTOM = """
import vgpud.device.renderers.virgl as virgl
virgl.why_not_exported = lambda options, library: ""
"""


def environment(folder: Path, export: str) -> dict[str, str]:
    """For a daemon whose device processes find the library in ``folder``, and take this machine for one with a
    GPU: the interpreter imports sitecustomize first of all.
    """
    (folder / "sitecustomize.py").write_text(_CUSTOM)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {"LD_LIBRARY_PATH": str(build(folder, export)), "PYTHONPATH": path}
