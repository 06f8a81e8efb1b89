# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The programs that are measured."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.driver import rutabaga
from tests.driver.backend import QEMU_PEER, qemu_peer

TREE = Path(__file__).parents[2]
# Its default mode is gfxstream; it has no 2D in software, and virglrenderer without acceleration is
# the nearest to that.
RUST_MODES = {"gfxstream": "gfxstream", "null": "null"}
# For vgpud's modes, the capability sets to offer that every build of a library has.
CAPSETS = {"gfxstream": "cross-domain"}
# After the installed package, which the tree's own would hide.
TEXTURES = (
    f"import sys; sys.path.append({str(TREE)!r}); from tests.device import rutabaga_2d;"
    " rutabaga_2d.take_the_place(); from vgpud.__main__ import main; sys.exit(main())"
)


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


def rutabaga_environment() -> Mapping[str, str]:
    """An environment in which librutabaga_gfx_ffi is found: the user's, or the one that the set-up
    script has built.
    """
    if "LD_LIBRARY_PATH" in os.environ or rutabaga.folder() is None:
        return os.environ
    return rutabaga.environment()


def _clean() -> list[str]:
    """How a command line begins: uses the vgpud that is installed beside this interpreter, whatever
    tree the benchmark is in.
    """
    path = rutabaga_environment().get("LD_LIBRARY_PATH")
    return ["env", "-u", "PYTHONPATH", *([f"LD_LIBRARY_PATH={path}"] if path else [])]


def with_textures() -> Peer:
    """vgpud with the 2D of librutabaga_gfx_ffi, for which there is no option."""

    def arguments(socket_path: Path) -> list[str | Path]:
        program = [sys.executable, "-P", "-c", TEXTURES]
        return [*_clean(), *program, "--socket-path", socket_path, "--gpu-mode", "gfxstream"]

    return Peer("vgpud", lambda: True, arguments)


def peers(gpu_mode: str, capset: str | None = None) -> list[Peer]:
    """vgpud (in ``gpu_mode``, with a choice of capability sets) first, then those to compare it with."""
    chosen = capset or CAPSETS.get(gpu_mode)

    def vgpud(socket_path: Path) -> list[str | Path]:
        program = Path(sys.prefix) / "bin" / "vgpud"
        options = ["--gpu-mode", gpu_mode, *(["--capset", chosen] if chosen else [])]
        return [*_clean(), program, "--socket-path", socket_path, *options]

    def rust(socket_path: Path) -> list[str | Path]:
        mode = RUST_MODES.get(gpu_mode, "virglrenderer")
        return [_rust() or "", "--socket-path", socket_path, "--gpu-mode", mode]

    return [
        Peer("vgpud", lambda: True, vgpud),
        Peer("qemu", QEMU_PEER.exists, qemu_peer, config_size=16),
        Peer("rust", lambda: _rust() is not None, rust, config_size=16),
    ]
