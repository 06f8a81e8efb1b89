# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A process keeps the environment that it was started with for as long as it lives, and so do the
processes that it forks, which guests may take over.  So secrets in that environment are wiped at
once.
"""

import ctypes
import os

# Our own variables, the service manager's, and those that graphics libraries, the interpreter and
# sanitizers read.
KEPT = (
    "PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TERM", "COLUMNS", "LINES", "TMPDIR", "LIBGL", "DRI_PRIME",
    "LD_LIBRARY_PATH", "LD_PRELOAD", "DISPLAY", "XAUTHORITY", "JOURNAL_STREAM", "RENDER_SERVER_EXEC_PATH",
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
)  # fmt: skip
KEPT_PREFIXES = (
    "VGPUD_", "LC_", "XDG_", "PYTHON", "MESA_", "GALLIUM_", "LIBGL_", "EGL_", "__EGL_", "__GLX_", "VK_",
    "VN_", "VIRGL_", "VREND_", "DRI_", "LP_", "ASAN_", "UBSAN_", "LLVM_",
)  # fmt: skip

# Where the bytes of a ``bytes`` object begin; the last one of its basic size is the null behind them.
_CONTENT = bytes.__basicsize__ - 1


def is_kept(name: str) -> bool:
    """Whether a variable of that name is for us, or for programs that we start."""
    return name in KEPT or name.startswith(KEPT_PREFIXES)


def forget_secrets() -> None:
    """Wipes all other variables, in both places where a program that has just started has them: on
    the stack, where the kernel has put them, and in the interpreter's copy.

    (To execute the program again without them would cost every start 40 ms.)
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    for name in [name for name in os.environ if not is_kept(name)]:
        key = os.fsencode(name)
        place, value = libc.getenv(key), os.environb.pop(key)
        if place:
            begin = place - len(key) - 1
            ctypes.memset(begin, 0, len(key) + 1 + len(value))
        # The interpreter has one object for each single byte, which is no secret.
        if len(value) > 1:
            ctypes.memset(id(value) + _CONTENT, 0, len(value))
