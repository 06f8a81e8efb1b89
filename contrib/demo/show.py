# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Boots Linux in a virtual machine with vgpud's screen, draws on it, and saves a picture of it."""

from __future__ import annotations

import argparse
import base64
import gzip
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from contrib.demo.drawing import drawing
from tests.e2e.daemon import Daemon
from tests.e2e.machine import Machine, MachineOptions

PICTURE = Path("build/demo/screen.png")
WIDTH, HEIGHT = 1280, 800
TEXT_HEIGHT = 17 * 16
KVM_PATIENCE, PATIENCE = 10, 120  # seconds of computing for a boot
NAMES = {
    "kvm": "KVM",
    "tcg": "emulated processor",
    "gtk,gl=on": "QEMU's window",
    "none": "no window of QEMU",
}

# The console's colours: 1;35 bright magenta, 1;33 bright yellow, 0 ordinary.
GREETING = r"""printf '\033c\n  \033[1;35mA virtual machine'"'"'s screen, drawn by vgpud\033[0m\n\n'
uname -srm | sed 's/^/  /'
sed -n 's/^model name.*: /  /p' /proc/cpuinfo | head -n 1
echo; dmesg | grep -E '\[drm\].*(features|scanouts|Initialized|fb0)' | cut -c16- | sed 's/^/  /'
printf '\n  \033[1;33m'; sed 's/,/ x /; s/$/ pixels/' /sys/class/graphics/fb0/virtual_size; printf '\033[0m'"""

if TYPE_CHECKING:
    from contrib.demo.viewer import Viewer

Say = Callable[[str], None]


def main() -> int:
    options = _options()
    began = time.monotonic() - options.started
    # As for Ctrl-C: whatever was started is ended.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)

    def say(what: str) -> None:
        print(f"[{time.monotonic() - began:3.0f} s] {what}", flush=True)

    try:
        with tempfile.TemporaryDirectory(prefix="vgpud-demo-") as folder:
            _show(Path(folder), options.gui, say)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _show(folder: Path, gui: bool, say: Say) -> None:
    with _daemon(folder) as daemon, _booted(folder, daemon, gui, say) as machine:
        say("Linux is up; drawing on its screen")
        _draw(machine)
        picture = machine.wait_picture(
            lambda picture: len(picture.colours()) > 100, "drawn on", timeout=20
        )
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        picture.save_png(PICTURE)
        say("this is what the virtual machine's screen shows:")
        print(PICTURE.absolute(), flush=True)
        if gui:
            _keep_window(machine, say)


def _keep_window(machine: Machine, say: Say) -> None:
    """QEMU's window, or our own if it has none, until somebody closes it."""
    viewer = _viewer(machine, say) if machine.options.display == "none" else None
    if viewer is None and machine.options.display == "none":
        return
    machine.guest.run("printf '\\033[16H\\033[?25h' >/dev/tty1")
    machine.guest.run("setsid sh -c 'exec sh </dev/tty1 >/dev/tty1 2>&1' &")
    say("the window has a shell; close it, or press Ctrl-C here, to end")
    if viewer is not None:
        viewer.run()
    while viewer is None and machine.process.exit_code is None:
        time.sleep(0.2)


def _viewer(machine: Machine, say: Say) -> Viewer | None:
    try:
        import tkinter

        from contrib.demo.viewer import Viewer
    except ImportError:
        say("no window: this Python has no tkinter")
        return None
    try:
        return Viewer(machine)
    except tkinter.TclError as error:
        say(f"no window: {error}")
        return None


@contextmanager
def _daemon(folder: Path) -> Iterator[Daemon]:
    daemon = Daemon(folder / "vgpu.sock", "vgpud")
    try:
        yield daemon
    finally:
        daemon.close()


@contextmanager
def _booted(folder: Path, daemon: Daemon, gui: bool, say: Say) -> Iterator[Machine]:
    """The first machine that boots, with the best available: KVM before emulation, a window before
    none. A /dev/kvm that opens may still be unable to run a guest, which only a boot shows; the same
    goes for a window.
    """
    accelerators = [("kvm", KVM_PATIENCE)] if Path("/dev/kvm").exists() else []
    displays = ["gtk,gl=on", "none"] if gui else ["none"]
    for accelerator, patience in [*accelerators, ("tcg", PATIENCE)]:
        for display in displays:
            say(f"booting Linux ({NAMES[accelerator]}, {NAMES[display]})")
            options = MachineOptions(accelerator=accelerator, display=display)
            with _attempt(folder, daemon, options, patience, say) as machine:
                if machine is not None:
                    yield machine
                    return
    raise SystemExit(f"no machine boots; the daemon said:\n{daemon.process.log.text()}")


@contextmanager
def _attempt(
    folder: Path, daemon: Daemon, options: MachineOptions, patience: int, say: Say
) -> Iterator[Machine | None]:
    """A machine that has booted, or None."""
    try:
        machine = Machine(folder, "demo", daemon, options)
    except RuntimeError as error:
        say(f"that is not possible here: {_last_line(str(error))}")
        yield None
        return
    try:
        booted = _boots(machine, patience, say)
        yield machine if booted else None
    finally:
        machine.kill()


def _boots(machine: Machine, patience: int, say: Say) -> bool:
    try:
        machine.wait_ready(patience)
    except (TimeoutError, ConnectionError) as error:
        said = machine.process.log.text().strip() or str(error)
        say(f"that did not work: {_last_line(said)}")
        return False
    return True


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1][:160]


def _draw(machine: Machine) -> None:
    """Text through the console, and below it a picture in the framebuffer."""
    pixels = base64.b64encode(gzip.compress(drawing(WIDTH, HEIGHT - TEXT_HEIGHT))).decode()
    machine.guest.run(f"{{ {GREETING}; }} >/dev/tty1")
    machine.guest.run(f"echo {pixels} | base64 -d >/tmp/drawing.gz")
    rows = f"bs={WIDTH * 4} seek={TEXT_HEIGHT}"
    machine.guest.run(f"zcat /tmp/drawing.gz | dd of=/dev/fb0 iflag=fullblock {rows} conv=notrunc")
    # The framebuffer is shown only with the console's next change.
    machine.guest.run("printf ' ' >/dev/tty1")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="contrib/demo/run", description=__doc__)
    parser.add_argument("--gui", action="store_true", help="a window, if possible")
    parser.add_argument("--started", type=float, default=0, help="seconds already spent")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
