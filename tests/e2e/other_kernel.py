# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Tests of this run under Debian's kernel, which has what that of a container often lacks or keeps for itself.  Its root is this
machine's, read only.
"""

from __future__ import annotations

import os
import shlex
import sys

import pytest

from .conftest import Workshop
from .machine import IN_PROCESS, MachineOptions

SHARED = "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"
OPTIONS = MachineOptions(
    device=IN_PROCESS,
    memory="2G",
    arguments=("-virtfs", SHARED),
    kernel_options="modules=9pnet_virtio,9p,overlay",
)
# As an initramfs does: what is mounted on / is where a namespace of mounts begins.
CHANGE_ROOT = """
mkdir /host && mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144 root /host &&
for folder in proc sys dev; do mount -o move /$folder /host/$folder || exit; done;
mount -t tmpfs tmpfs /host/run && mount -t tmpfs tmpfs /host/mnt && mkdir /host/run/tmp &&
mount -t cgroup2 cgroup2 /host/sys/fs/cgroup && mount -t securityfs securityfs /host/sys/kernel/security &&
cd /host && mount -o move . /
""".replace("\n", " ")
KEPT = ("PATH", "PYTHONPATH", "TEST_INSTALLED_VGPUD")
SECONDS = 900.0


def assert_passes_there(workshop: Workshop, config: pytest.Config, test: str) -> None:
    """All of a file of tests; none of them may be skipped."""
    machine = workshop.ready_machine(options=OPTIONS)
    machine.guest.run(CHANGE_ROOT)
    said = machine.guest.run(_pytest_there(config, test), SECONDS, check=False)
    assert " passed" in said, said
    assert not any(word in said for word in (" skipped", " failed", " error")), said


def _pytest_there(config: pytest.Config, test: str) -> str:
    """The command that runs a test of this run in the other root."""
    environment = [f"{name}={os.environ[name]}" for name in KEPT if name in os.environ]
    paths = " ".join(map(str, config.getini("pythonpath")))
    return shlex.join(
        [
            *("chroot", ".", "/usr/bin/env", "-i", "TMPDIR=/run/tmp", "PYTHONDONTWRITEBYTECODE=1", *environment),
            *("sh", "-c", 'cd "$0" && exec "$@"', str(config.invocation_params.dir)),
            *(sys.executable, "-m", "pytest", "-q", "-c", str(config.inipath), "--rootdir", str(config.rootpath)),
            *("-o", f"pythonpath={paths}", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:xdist"),
            # To rewrite assertions takes an emulated processor longer than most tests.
            "--assert=plain",
            *("-o", "timeout=600", str(config.rootpath / test)),
        ]
    )  # fmt: skip
