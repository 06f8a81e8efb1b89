# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Environment variables that would lead Mesa to a driver for guests, one that speaks to a device
like ours, or to a window system.
"""

from collections.abc import MutableMapping

# Variable → the misleading values; None: any value.
MISLEADING: dict[str, frozenset[str] | None] = {
    "GALLIUM_DRIVER": frozenset({"virpipe", "virgl"}),
    "MESA_LOADER_DRIVER_OVERRIDE": frozenset({"virpipe", "virtio_gpu"}),
    "VTEST_SOCKET_NAME": None,
    "VN_DEBUG": None,
    "EGL_PLATFORM": None,
}


def clean_environment(environment: MutableMapping[str, str]) -> list[str]:
    """Removes variables that would mislead Mesa; returns the names of those that were set."""
    found = [
        name
        for name, values in MISLEADING.items()
        if name in environment and (values is None or environment[name] in values)
    ]
    for name in found:
        del environment[name]
    return found
