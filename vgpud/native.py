# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The data plane in C.  Its declarations, and what they mean, are in the headers of ``native/``.

This is the only module that imports the compiled extension.  A call of ``lib`` lets other Python
threads run; whatever it is given must outlive it.
"""

import os
from typing import Any

import vgpud._native as _extension

ffi: Any = _extension.ffi
lib: Any = _extension.lib


def checked(result: int) -> int:
    """What a native function returned, or its negative errno as an OSError."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def made(pointer: Any) -> Any:
    """The object that a native constructor returned; OSError when it is NULL."""
    if pointer == ffi.NULL:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    return pointer
