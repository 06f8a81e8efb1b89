# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""trio, without the programs that it starts while it is imported.

It asks ``ctypes.util.find_library`` for libpthread, and that executes ldconfig, then gcc.  A profile
of AppArmor's refuses them, the import fails where neither answers and no file can be made, and a
start waits for them.
"""

import sys

PTHREAD = "libpthread.so.0"
"""The name in the C library's ABI; from glibc 2.34 on all of it is in libc, which that library needs."""


def import_trio() -> None:
    """Whoever looks for a library afterwards asks the real function."""
    if "trio" in sys.modules:
        return
    import ctypes.util

    real = ctypes.util.find_library
    ctypes.util.find_library = lambda name: PTHREAD if name == "pthread" else real(name)
    try:
        import trio  # noqa: F401
    finally:
        ctypes.util.find_library = real
