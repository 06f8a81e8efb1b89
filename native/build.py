# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Builds ``vgpud._native``, the data plane, from the C files in the folders beside this one.

Each header declares its part once: what it has between ``/* [python] */`` and ``/* [end python]
*/`` is given to cffi word for word, so C and Python cannot drift apart.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import cffi

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "vgpud"
MODULE = "vgpud._native"
# The Vulkan loader finds the layer in it (native/vulkan) by this name: what is open already needs no folder.
LIBRARY_NAME = "vgpud_native.so"
# Serves viewers, with libvncserver: built where that library's headers are installed.
VIEW_MODULE = "vgpud._view"
VIEW_LIBRARY = "vncserver"
VIEW_PROBE = "#include <stdio.h>\n#include <rfb/rfb.h>\n"
# One extension for all interpreters from the oldest on, as cffi's generated code allows; those
# without a global lock have no stable interface yet.
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")
PUBLIC = re.compile(r"/\* \[python\] \*/\n(.*?)/\* \[end python\] \*/", re.DOTALL)

WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
# cffi's own generated wrappers have parameters that they do not use.
GENERATED = ["-Wno-unused-parameter", "-Wno-missing-field-initializers"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1"]


def declarations(view: bool = False) -> tuple[str, list[str]]:
    """The text for ``cdef`` and the headers that it came from, each after those that it needs."""
    text, headers = [], []
    for header in sorted(files("*.h", view), key=_layer):
        for public in PUBLIC.findall(header.read_text()):
            text.append(public)
            headers.append(str(header.relative_to(HERE)))
    return "\n".join(text), list(dict.fromkeys(headers))


def files(pattern: str, view: bool = False) -> list[Path]:
    """The files of the data plane's folders, or of the folder for viewers."""
    if view:
        return sorted(HERE.glob(f"view/{pattern}"))
    apart = ("fuzz", "view")
    return sorted(path for path in HERE.glob(f"*/{pattern}") if path.parent.name not in apart)


def _layer(header: Path) -> tuple[int, str]:
    """A sort key that puts a header after all headers that it includes: cffi reads no
    ``#include``.
    """
    included = re.findall(r'#include "([\w/]+\.h)"', header.read_text())
    return max((_layer(HERE / name)[0] + 1 for name in included), default=0), header.name


def builder(sanitize: bool = False, view: bool = False) -> cffi.FFI:
    """The cffi builder of the extension, or of the one for viewers; ``sanitize`` adds AddressSanitizer and
    UndefinedBehaviorSanitizer.
    """
    ffi = cffi.FFI()
    text, headers = declarations(view)
    ffi.cdef(text)
    flags = SANITIZE if sanitize else ["-O3", "-g"]
    link = SANITIZE[:1] if sanitize else []
    sources = files("*.c", view) + ([HERE / "shared/sealed.c"] if view else [])
    ffi.set_source(
        VIEW_MODULE if view else MODULE,
        "\n".join(f'#include "{header}"' for header in headers),
        sources=[str(source) for source in sources],
        include_dirs=[str(HERE)],
        libraries=[VIEW_LIBRARY] if view else [],
        py_limited_api=LIMITED_API,
        extra_compile_args=WARNINGS + GENERATED + flags,
        extra_link_args=link if view else [*link, f"-Wl,-soname,{LIBRARY_NAME}"],
    )
    return ffi


def has_view_headers() -> bool:
    """Whether libvncserver's headers are installed (on Debian: apt install libvncserver-dev)."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    flags = shlex.split(os.environ.get("CFLAGS", ""))
    probe = [*compiler, *flags, "-E", "-x", "c", "-"]
    return subprocess.run(probe, input=VIEW_PROBE.encode(), capture_output=True).returncode == 0


def build_all(output: Path, sanitize: bool = False) -> list[Path]:
    """Each extension that can be built here."""
    built = [build(output, sanitize)]
    return [*built, build(output, sanitize, view=True)] if has_view_headers() else built


def build(output: Path, sanitize: bool = False, view: bool = False) -> Path:
    """Compiles the extension, or the one for viewers, and puts it into ``output``; returns its path."""
    with tempfile.TemporaryDirectory() as work:
        compiled = Path(builder(sanitize, view).compile(tmpdir=work))
        output.mkdir(parents=True, exist_ok=True)
        target = output / compiled.name
        # Replaced, not overwritten: a process that has mapped the old one keeps it.
        shutil.copy(compiled, target.with_suffix(".new"))
        target.with_suffix(".new").replace(target)
    # An extension that was built under another name would be imported instead.
    for stale in output.glob(f"{target.name.partition('.')[0]}.*.so"):
        if stale != target:
            stale.unlink()
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sanitize", action="store_true", help="with ASan and UBSan")
    parser.add_argument("--output", type=Path, default=PACKAGE, metavar="DIR")
    arguments = parser.parse_args()
    for extension in build_all(arguments.output, arguments.sanitize):
        sys.stdout.write(f"{extension}\n")


if __name__ == "__main__":
    main()
