# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A library in front of libvirglrenderer that exports textures without a GPU; see ``exporter.c``."""

import ctypes
import subprocess
import sys
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


_INTERPRETER = """#!{executable}
import runpy, sys
import vgpud.device.renderers.virgl as virgl
virgl.why_not_exported = lambda options, library: ""
module = sys.argv.index("-m") + 1
sys.argv = sys.argv[module:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
_DAEMON = "import sys; sys.executable = sys.argv.pop(1); from vgpud.__main__ import main; main()"


def daemon(folder: Path) -> list[str | Path]:
    """A command like ``python -m vgpud`` whose device processes take this machine for one with a GPU."""
    interpreter = folder / "python"
    interpreter.write_text(_INTERPRETER.format(executable=sys.executable))
    interpreter.chmod(0o755)
    return [sys.executable, "-c", _DAEMON, interpreter]
