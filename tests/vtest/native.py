# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The bridge's C half, compiled when it is first needed and kept in ``build/``, by the hash of its source."""

import hashlib
import importlib.util
import re
import tempfile
from pathlib import Path
from typing import Any

import cffi

HERE = Path(__file__).resolve().parent
HEADERS = [HERE / "loop.h", HERE / "mirror.h"]
SOURCES = [HERE / "loop.c", HERE / "mirror.c"]
BUILD = HERE.parent.parent / "build" / "vtest"
PUBLIC = re.compile(r"/\* \[python\] \*/\n(.*?)/\* \[end python\] \*/", re.DOTALL)


def load() -> Any:
    """The module, with ``ffi`` and ``lib``."""
    text = "".join(path.read_text() for path in (*HEADERS, *SOURCES))
    name = f"vtest_loop_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    found = list(BUILD.glob(f"{name}*.so"))
    path = found[0] if found else _compile(name)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _compile(name: str) -> Path:
    ffi = cffi.FFI()
    ffi.cdef("\n".join(PUBLIC.findall(HEADERS[0].read_text())))
    ffi.set_source(
        name,
        '#include "loop.h"',
        sources=[str(path) for path in SOURCES],
        include_dirs=[str(HERE)],
        extra_compile_args=["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"],
    )
    BUILD.mkdir(parents=True, exist_ok=True)
    # Another may be compiling it too, or loading it: it appears whole.
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        made = Path(ffi.compile(tmpdir=folder))
        return made.replace(BUILD / made.name)
