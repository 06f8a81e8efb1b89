# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The line that vgpud prints, pasted into a shell, with a real QEMU and a real guest behind it."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from vgpud.daemon.qemu_line import qemu_line

from ..daemon.running import daemon, status, wait_until
from ..driver.backend import Backend
from ..driver.own_mounts import takes_own_mounts
from . import parts
from .patience import Patience

OPTIONS = "console=tty0 quiet modules=virtio_gpu"


def without_kvm() -> list[str]:
    """What has the line run by the accelerator of all these tests, which is not what a host's own user wants."""
    if os.environ.get("E2E_ACCELERATOR", "tcg") == "kvm" or not Path("/dev/kvm").exists():
        return []
    if os.geteuid() != 0:
        pytest.skip("only root can hide KVM from a QEMU that takes it where it can")
    hiding = 'mount --bind /dev/null /dev/kvm && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", hiding, "sh"]


def frames(backend: Backend) -> int:
    """Of the one machine there is."""
    machines = status(backend.socket_path)["machines"]
    return sum(machine["counters"]["flushes"] for machine in machines if machine["answers"])


@takes_own_mounts
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_guest_is_on_the_screen_of_who_pastes_the_line(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "qemu-system-x86_64").symlink_to(parts.system_qemu())
    guest = parts.guest()
    own = ["-kernel", guest.kernel, "-initrd", guest.initrd, "-append", OPTIONS]
    with daemon() as backend, (tmp_path / "said").open("wb") as said:
        line = f"{qemu_line(backend.socket_path)} {shlex.join(map(str, own))}"
        assert wait_until(backend.socket_path.exists)
        pasted = subprocess.Popen(
            [*without_kvm(), shell, "-c", line],
            env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            patience = Patience(Path(f"/proc/{pasted.pid}"))
            while not frames(backend):
                assert pasted.poll() is None, (tmp_path / "said").read_text()
                assert not patience.over()
                time.sleep(0.5)
        finally:
            os.killpg(pasted.pid, signal.SIGKILL)
            pasted.wait()
