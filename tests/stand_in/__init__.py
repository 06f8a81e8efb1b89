# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Libraries in front of libvirglrenderer: one that exports textures without a GPU (``exporter.c``), one that makes blobs
without Vulkan (``blobs.c``), and one whose fences take their time (``fences.c``).
"""

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


def build(folder: Path, source: str, *options: str) -> Path:
    """Compiles one into ``folder``, which is for LD_LIBRARY_PATH."""
    # A library with the real one's path for a name: the real one's own name would be the stand-in's.
    stub = folder / "stub.so"
    compiler: list[str | Path] = ["cc", "-shared", "-fPIC", "-o"]
    name = f"-Wl,-soname,{_real_library()}"
    subprocess.run([*compiler, stub, "-x", "c", "/dev/null", name], check=True)
    strict = ["-Wall", "-Wextra", "-Werror", *options]
    needed: list[str | Path] = ["-Wl,--no-as-needed", stub]
    path = Path(__file__).with_name(source)
    subprocess.run([*compiler, folder / LIBRARY, *strict, path, *needed], check=True)
    return folder


_WITH_A_GPU = """
import vgpud.device.renderers.virgl as virgl
virgl.why_not_exported = lambda options, library: ""
"""
_WITH_FILES = """
import vgpud.device.renderers.virgl as virgl
virgl.VirglLibrary.has_vulkan = True
"""


def exporter(folder: Path, export: str) -> dict[str, str]:
    """For a daemon whose device processes find a library that exports textures, and take this machine for one with a
    GPU; ``export``: how that ends.
    """
    build(folder, "exporter.c", f"-DEXPORT={export}")
    return _environment(folder, _WITH_A_GPU)


def blobs(folder: Path) -> dict[str, str]:
    """For a daemon whose device processes find a library that makes blobs, and take it for one with Vulkan."""
    build(folder, "blobs.c")
    return _environment(folder, _WITH_FILES)


def fences(folder: Path, *options: str) -> dict[str, str]:
    """For a device process that finds a library whose fences pass when ``options`` say."""
    build(folder, "fences.c", *options)
    return _environment(folder, "")


def _environment(folder: Path, custom: str) -> dict[str, str]:
    """With the library, and with modules that are changed: the interpreter imports sitecustomize first of all."""
    (folder / "sitecustomize.py").write_text(custom)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": path}
