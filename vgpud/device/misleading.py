# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What of the environment Mesa would read, and be led by to a driver that speaks to a device such as we are, or to a window system."""

from collections.abc import MutableMapping

# None: whatever the value is.
MISLEADING: dict[str, frozenset[str] | None] = {
    "GALLIUM_DRIVER": frozenset({"virpipe", "virgl"}),
    "MESA_LOADER_DRIVER_OVERRIDE": frozenset({"virpipe", "virtio_gpu"}),
    "VTEST_SOCKET_NAME": None,
    "VN_DEBUG": None,
    "EGL_PLATFORM": None,
}


def clean_environment(environment: MutableMapping[str, str]) -> list[str]:
    """Takes out what would lead Mesa astray; the names of what was there."""
    found = [
        name
        for name, values in MISLEADING.items()
        if name in environment and (values is None or environment[name] in values)
    ]
    for name in found:
        del environment[name]
    return found
