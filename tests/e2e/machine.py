# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A virtual machine: QEMU, the guest in it, and ways to speak to both."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, Any, Protocol

from . import parts
from .patience import COMPUTING_SECONDS, Patience
from .picture import Picture
from .process import Log, Process
from .qmp import Qmp
from .shell import GuestShell

if TYPE_CHECKING:
    from .dbus_display import DbusDisplay

GPU = "vgpu"
IN_PROCESS = "virtio-gpu-pci"
VHOST_USER = "vhost-user-gpu-pci"
VHOST_USER_VGA = "vhost-user-vga"
# Any vhost-user device at all, from QEMU 11.1 on: there is no display socket, and nothing has been set by QEMU.
GENERIC = "vhost-user-test-device-pci"
GENERIC_OPTIONS = ("virtio-id=16", "num_vqs=2", "vq_size=256", "config_size=20")
IN_PROCESS_OF = {VHOST_USER: IN_PROCESS, VHOST_USER_VGA: "virtio-vga"}

# What would take an emulated processor seconds of each boot, and guards what nobody attacks here: against speculation, of memory's old
# contents, ciphers' tests of themselves.
QUICK_BOOT = (
    "mitigations=off init_on_alloc=0 cryptomgr.notests"
    " initcall_blacklist=jent_mod_init,crypto_kdf108_init"
)
# QEMU 10 and 11 die, once in some hundreds of boots with any GPU, their own included, where one emulated processor moves a device's memory
# while another runs ("iotlb_to_section: Assertion"): the guest's init wakes the others when no memory is moved any more.  What one that
# comes late would measure, the length of a delay, takes seconds, and so does having the kernel patched for more than one.
LATER_PROCESSORS = "maxcpus=1 lpj=10000000 noreplace-smp"
# The cursor of the text console blinks: a picture would depend on the time.
KERNEL_OPTIONS = f"console=tty0 console=ttyS0 quiet panic=-1 vt.global_cursor_default=0 {QUICK_BOOT} {LATER_PROCESSORS}"

# What QEMU 11.1 says, once in some hundreds of boots, when the firmware moves a device's memory while more than one processor is
# emulated.  With any GPU, its own included.
LOST_RACE = "iotlb_to_section: Assertion"

# Of a log, in a message.
LAST_CHARACTERS = 4000


class Listener(Protocol):
    """Where QEMU connects to: a daemon, or who listens in between."""

    @property
    def socket_path(self) -> Path: ...


@dataclass
class MachineOptions:
    """How a machine differs from the ordinary one."""

    device: str = VHOST_USER
    device_options: Sequence[str] = ()
    outputs: int = 1
    memory: str = "1G"
    """As `-m` takes it: a size, perhaps with slots and a maximum."""
    processors: int = 2
    display: str = "none"
    kernel_options: str = ""
    qemu: str = ""
    accelerator: str = ""
    """tcg or kvm; by default what E2E_ACCELERATOR says, otherwise tcg."""
    arguments: Sequence[str] = field(default_factory=tuple)
    environment: dict[str, str] = field(default_factory=dict)
    """QEMU's, beside the tests' own."""


class Machine:
    """Starts at once; `wait_ready` returns when the guest takes commands.

    A device that is not in QEMU's own process needs a daemon.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "machine",
        daemon: Listener | None = None,
        options: MachineOptions | None = None,
    ) -> None:
        self.name = name
        self.options = options or MachineOptions()
        self.notes: dict[Any, Any] = {}
        """What tests remember about this machine."""
        self._folder = folder
        agent, qemus_agent = socket.socketpair()
        qmp, qemus_qmp = socket.socketpair()
        serial, qemus_serial = socket.socketpair()
        theirs = [qemus_agent, qemus_qmp, qemus_serial]
        arguments = [
            *_base_arguments(self.options),
            *_device_arguments(self.options, daemon),
            *_channel_arguments(*(end.fileno() for end in theirs)),
            *self.options.arguments,
        ]
        qemu = self.options.qemu or parts.system_qemu()
        self.process = Process(
            name,
            [qemu, *arguments],
            pass_fds=[end.fileno() for end in theirs],
            environment=self.options.environment,
        )
        for end in theirs:
            end.close()
        self.serial = Log(serial.makefile("rb", buffering=0))
        serial.close()
        self.guest = GuestShell(agent)
        self._sockets = [agent, qmp]
        self._displays: list[DbusDisplay] = []
        self.qmp = Qmp(qmp)
        try:
            self.qmp.negotiate()
        except (OSError, ConnectionError) as error:
            self.kill()
            raise RuntimeError(f"QEMU did not start: {self.process.log.text()}") from error

    def wait_ready(self, computing: float = COMPUTING_SECONDS) -> None:
        """Until the guest's init takes commands, 4 to 10 seconds under emulation; at most until QEMU has computed for
        that many seconds.
        """
        patience = Patience(Path(f"/proc/{self.process.pid}"), computing)
        try:
            self.guest.wait_ready(patience.over)
        except (TimeoutError, ConnectionError) as error:
            raise type(error)(f"{self.name}: {error}; {self._last_words()}") from error

    def lost_own_race(self) -> bool:
        """Whether it has ended, or is about to, of QEMU's emulation of processors and of nothing that a device did."""
        with suppress(TimeoutExpired):
            self.process.wait(1)
            self.process.log.finish()
        return LOST_RACE in self.process.log.text()

    def _last_words(self) -> str:
        """What there is to be known of a machine that says nothing."""
        state = f"ended with {self.process.exit_code}"
        if self.process.exit_code is None:
            try:
                state = f"is {self.qmp.execute('query-status')['status']}"
            except (OSError, ConnectionError):
                state = "does not answer"
        logs = {"QEMU": self.process.log.text(), "the kernel": self.serial.text()}
        said = (f"{who} said {text[-LAST_CHARACTERS:]!r}" for who, text in logs.items())
        return "; ".join([f"QEMU {state}", *said])

    def screendump(self, head: int = 0) -> Picture:
        """What the screen of output `head` shows now."""
        path = self._folder / f"{self.name}-{os.getpid()}.ppm"
        self.qmp.execute("screendump", filename=str(path), device=GPU, head=head)
        try:
            return Picture.from_ppm(path.read_bytes())
        finally:
            path.unlink()

    def wait_picture(
        self,
        condition: Callable[[Picture], bool],
        what: str,
        head: int = 0,
        timeout: float = 10,
    ) -> Picture:
        """The first screendump that satisfies the condition; the last one is kept as a PNG if none does."""
        deadline = time.monotonic() + timeout
        while not condition(picture := self.screendump(head)):
            if time.monotonic() > deadline:
                self.keep(picture, "unexpected")
                raise AssertionError(f"the screen of {self.name} never was {what}")
            time.sleep(0.05)
        return picture

    def keep(self, picture: Picture, what: str) -> None:
        """Puts a picture where a failed test's evidence is gathered from."""
        picture.save_png(self._folder / f"{self.name}-{what}.png")

    def dbus_display(self) -> DbusDisplay:
        """For a machine with the display `dbus,p2p=on`: a display that listens to QEMU."""
        from .dbus_display import DbusDisplay  # Needs a package that only the tests have.

        ours, theirs = socket.socketpair()
        with theirs:
            self.qmp.give_descriptor("display", theirs.fileno())
            self.qmp.execute("add_client", protocol="@dbus-display", fdname="display")
        display = DbusDisplay(ours)
        self._displays.append(display)
        return display

    def power_off(self) -> int:
        """An orderly end; QEMU's exit code."""
        self.guest.send("poweroff -f")
        return self.process.wait(20)

    def kill(self) -> None:
        """For good; a second time does nothing."""
        self.process.kill()
        for display in self._displays:
            display.close()
        for connection in self._sockets:
            connection.close()
        self.serial.finish()

    def save_evidence(self, folder: Path) -> None:
        """Logs and, while it still answers, the screen."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.process.exit_code is None:
            for head in range(self.options.outputs):
                with suppress(Exception):
                    self.screendump(head).save_png(folder / f"{self.name}-{head}.png")
        (folder / f"{self.name}-serial.log").write_text(self.serial.text())
        (folder / f"{self.name}-qemu.log").write_text(self.process.log.text())


def _accelerator_arguments(options: MachineOptions) -> list[str]:
    chosen = options.accelerator or os.environ.get("E2E_ACCELERATOR", "tcg")
    return ["-accel", "tcg,thread=multi" if chosen == "tcg" else chosen]


def _base_arguments(options: MachineOptions) -> list[str]:
    guest = parts.guest()
    memory = f"memory-backend-memfd,share=on,id=mem0,size={options.memory.split(',')[0]}"
    return [
        *("-machine", "q35,memory-backend=mem0", *_accelerator_arguments(options), "-cpu", "max"),
        *("-smp", str(options.processors), "-object", memory, "-m", options.memory),
        *("-nodefaults", "-vga", "none", "-display", options.display),
        *("-kernel", str(guest.kernel), "-initrd", str(guest.initrd)),
        *("-append", f"{KERNEL_OPTIONS} {options.kernel_options}".strip()),
        *("-device", "virtio-keyboard-pci", "-device", "virtio-tablet-pci"),
    ]


def _device_arguments(options: MachineOptions, daemon: Listener | None) -> list[str]:
    properties = [options.device, f"id={GPU}"]
    if options.device != GENERIC:
        properties.append(f"max_outputs={options.outputs}")
    properties += options.device_options
    if daemon is None:
        return ["-device", ",".join(properties)]
    chardev = f"socket,id=vgpu-socket,path={daemon.socket_path}"
    return ["-chardev", chardev, "-device", ",".join([*properties, "chardev=vgpu-socket"])]


def _channel_arguments(agent: int, qmp: int, serial: int) -> list[str]:
    return [
        *("-chardev", f"socket,id=agent,fd={agent}"),
        *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=agent"),
        *("-chardev", f"socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control"),
        *("-chardev", f"socket,id=serial,fd={serial}", "-serial", "chardev:serial"),
    ]
