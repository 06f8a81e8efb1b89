# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The programs that are measured."""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.driver.backend import QEMU_PEER, qemu_peer


@dataclass(frozen=True)
class Peer:
    """``config_size``: what the program answers to GET_CONFIG for (QEMU's peers know 16 bytes)."""

    name: str
    installed: Callable[[], bool]
    arguments: Callable[[Path], Sequence[str | Path]]
    config_size: int = 20


def _rust() -> str | None:
    return shutil.which("vhost-device-gpu") or shutil.which(
        "vhost-device-gpu", path=str(Path.home() / ".cargo/bin")
    )


def peers(gpu_mode: str) -> list[Peer]:
    """vgpud (in ``gpu_mode``) first, then those to compare it with."""

    def vgpud(socket_path: Path) -> list[str | Path]:
        # The one that is installed beside this interpreter, whatever tree the benchmark lies in.
        program = Path(sys.prefix) / "bin" / "vgpud"
        return [
            *("env", "-u", "PYTHONPATH"),
            program,
            *("--socket-path", socket_path, "--gpu-mode", gpu_mode),
        ]

    def rust(socket_path: Path) -> list[str | Path]:
        # It has no software mode: virglrenderer without acceleration is the nearest.
        return [_rust() or "", "--socket-path", socket_path, "--gpu-mode", "virglrenderer"]

    return [
        Peer("vgpud", lambda: True, vgpud),
        Peer("qemu", QEMU_PEER.exists, qemu_peer, config_size=16),
        Peer("rust", lambda: _rust() is not None, rust, config_size=16),
    ]
