# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Boots the guest, runs commands in it and leaves a picture of its screen.

python -m tests.e2e.boot [--backend vgpud|c-peer|in-process] [--screendump x.png] [COMMAND…]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from .daemon import BACKENDS, Daemon, chosen_backend
from .machine import IN_PROCESS, VHOST_USER, VHOST_USER_VGA, Machine, MachineOptions
from .parts import newest_qemu


def main() -> int:
    options = _options()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vgpud-boot-") as name:
        folder = Path(name)
        daemon = None
        if options.backend != "in-process":
            arguments = options.daemon_option
            daemon = Daemon(folder / "vgpu.sock", options.backend, arguments)
        machine = None
        try:
            machine = Machine(folder, "boot", daemon, _machine_options(options))
            machine.wait_ready()
            _say(started, "the guest is up")
            for command in options.command:
                print(machine.guest.run(command, options.timeout, check=False), flush=True)
            time.sleep(0.5)
            if options.screendump:
                machine.screendump().save_png(options.screendump)
                _say(started, f"screen: {options.screendump}")
            return 0
        finally:
            if machine is not None:
                machine.kill()
                if options.logs:
                    machine.save_evidence(options.logs)
            if daemon is not None:
                daemon.close()
                print(daemon.process.log.text(), file=sys.stderr, end="")


def _machine_options(options: argparse.Namespace) -> MachineOptions:
    device = VHOST_USER_VGA if options.vga else VHOST_USER
    return MachineOptions(
        device=IN_PROCESS if options.backend == "in-process" else device,
        device_options=options.device_option,
        outputs=options.outputs,
        memory=options.memory,
        qemu=newest_qemu() if options.newest_qemu else "",
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.boot", description=__doc__)
    parser.add_argument("--backend", choices=[*BACKENDS, "in-process"], default=chosen_backend())
    parser.add_argument("--daemon-option", action="append", default=[], metavar="OPTION")
    parser.add_argument("--device-option", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--vga", action="store_true", help="vhost-user-vga")
    parser.add_argument("--outputs", type=int, default=1)
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--newest-qemu", action="store_true", help="QEMU 11.1")
    parser.add_argument("--screendump", type=Path, metavar="PNG")
    parser.add_argument("--logs", type=Path, metavar="FOLDER")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for each command")
    parser.add_argument("command", nargs="*", help="run in the guest, one after the other")
    return parser.parse_args()


def _say(started: float, what: str) -> None:
    print(f"[{time.monotonic() - started:.1f} s] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
