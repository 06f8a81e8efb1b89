# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Host-visible memory: how long mapping a host blob into the guest and unmapping it takes. In the
mode ``null``, whose blobs exist on every computer; so the time for a library to make one is not
included.
"""

from __future__ import annotations

import time
from statistics import median, quantiles

from tests.driver import commands, commands_3d
from tests.driver.backend import Backend, Machine
from tests.driver.frontend import GENERIC_FEATURES, QEMU_PROTOCOL, Protocol
from tests.driver.memory import MiB
from tests.driver.shared_region import SharedRegion

from .machine import BenchMachine
from .peers import peers
from .rows import Metric, Numbers, Row

BLOB, SIZE = 1, 4 * MiB
PAIRS = 300


def mapping(machine: BenchMachine, scale: float) -> Numbers:
    """On a machine of its own, whose VMM answers at once and announces each window, as QEMU
    does.
    """
    [subject, *_] = peers("null")
    frontend = {
        "wanted_features": GENERIC_FEATURES,
        "wanted_protocol": QEMU_PROTOCOL | Protocol.SHMEM,
    }
    with (
        Backend(subject.arguments) as backend,
        Machine(backend.socket_path, frontend=frontend) as mapped,
        SharedRegion(mapped.frontend, False, answer=lambda asked: 0),
    ):
        guest = mapped.guest
        guest.do(commands_3d.ctx_create(1))
        guest.do(commands.create_host_blob(BLOB, SIZE))
        seconds = []
        for _ in range(int(PAIRS * scale)):
            begun = time.perf_counter()
            guest.do(commands.resource_map_blob(BLOB, 0), commands.MAP_INFO_SIZE)
            guest.do(commands.resource_unmap_blob(BLOB))
            seconds.append(time.perf_counter() - begun)
    return {"pair": median(seconds) * 1e3, "pair95": quantiles(seconds, n=20)[-1] * 1e3}


METRICS = (
    Metric("pair", "MAP_BLOB and UNMAP_BLOB of 4 MiB", "ms", False, 2.0, absolute=True),
    Metric("pair95", "95th percentile", "ms", False, None),
)

ROWS = (Row("map", mapping, METRICS),)
