# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""libvirt's daemon in a root of its own, set up as docs/libvirt.md says, and the domains that it runs there."""

from __future__ import annotations

import io
import re
import shutil
import socket
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from PIL import Image

from ..daemon.running import status, wait_until
from ..e2e import parts
from ..e2e.conftest import evidence_folder
from ..e2e.machine import KERNEL_OPTIONS
from ..e2e.patience import Patience
from ..e2e.picture import Picture
from ..e2e.shell import GuestShell
from ..systemd.booted import Systemd

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("libvirtd", "virsh")
# libvirtd(8) as its own unit starts it, less what a service manager with a bus would add.
UNIT = """[Unit]
DefaultDependencies=no
[Service]
Type=notify
ExecStart=/usr/sbin/libvirtd
KillMode=process
Delegate=yes
StandardOutput=append:/run/libvirtd.log
StandardError=append:/run/libvirtd.log
"""
USER = "libvirt-qemu"
# As Debian's packages set it up; there is no virtlogd here, and no security module in every kernel.
QEMU_CONF = f"""user = "{USER}"
group = "{USER}"
stdio_handler = "file"
security_driver = "none"
"""
USERS = (f"g {USER} - -", "g kvm - -", f"u {USER} - - /var/lib/libvirt", f"m {USER} kvm")
SHARED = "/run/domains"
# The kernel's driver of the power button is a module.
OPTIONS = f"{KERNEL_OPTIONS} modules=virtio_gpu,virtio_input,evdev,button"
DOMAIN = """<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>512</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{shared}/vmlinux</kernel>
    <initrd>{shared}/initrd</initrd>
    <cmdline>{options}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <devices>
    <emulator>{emulator}</emulator>
    <channel type='unix'>
      <source mode='bind' path='{shared}/{name}.sock'/>
      <target type='virtio' name='agent'/>
    </channel>
    <memballoon model='none'/>
  </devices>
</domain>
"""


class VirshError(Exception):
    """What virsh said."""


class Hypervisor:
    """Set up and started in a systemd that has just been booted."""

    def __init__(self, systemd: Systemd) -> None:
        self.systemd = systemd
        self._emulator = parts.system_qemu()
        self._set_up()
        for line in blocks("sh"):
            self._do("sh", "-ec", f"cd {SHARED}\n{line}")
        systemd.do("daemon-reload")
        systemd.do("start", "libvirtd.service")

    def _set_up(self) -> None:
        self._do("systemd-sysusers", "--inline", *USERS)
        self.path("/etc/systemd/system/libvirtd.service").write_text(UNIT)
        self.path("/etc/libvirt").mkdir(exist_ok=True)
        self.path("/etc/libvirt/qemu.conf").write_text(QEMU_CONF)
        for folder in Path(self._emulator).parents:
            place = self.path(str(folder))
            place.chmod(place.stat().st_mode | 0o111)
        shared = self.path(SHARED)
        shared.mkdir()
        shared.chmod(0o1777)
        guest = parts.guest()
        shutil.copy(guest.kernel, shared / "vmlinux")
        shutil.copy(guest.initrd, shared / "initrd")
        shutil.copytree(ROOT / "config", shared / "config")

    def _do(self, *words: str) -> None:
        done = self.systemd.run(*words)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")

    def path(self, inside: str) -> Path:
        """Where a path of libvirt's root is for us."""
        return self.systemd.path(inside)

    def virsh(self, *words: str) -> str:
        """What virsh prints; ``VirshError`` when it fails."""
        done = self.systemd.run("virsh", "--quiet", *words)
        if done.returncode:
            raise VirshError(done.stderr.strip())
        return done.stdout

    def create(self, name: str, **acceleration: str) -> Domain:
        """Starts a domain with the memory and the video that docs/libvirt.md shows, and these attributes of
        ``<acceleration>``; without any there is none.
        """
        described = ElementTree.fromstring(
            DOMAIN.format(name=name, shared=SHARED, options=OPTIONS, emulator=self._emulator)
        )
        memory, video = map(ElementTree.fromstring, blocks("xml"))
        model = _child(video, "model")
        if acceleration:
            _child(model, "acceleration").attrib.update(acceleration)
        else:
            model.remove(_child(model, "acceleration"))
        described.append(memory)
        _child(described, "devices").append(video)
        self.path(f"{SHARED}/{name}.xml").write_bytes(ElementTree.tostring(described))
        self.virsh("create", f"{SHARED}/{name}.xml")
        return Domain(self, name)

    @contextmanager
    def hidden(self, pattern: str) -> Iterator[None]:
        """Without the files of that pattern for a while."""
        moved = [(file, file.with_name(f".{file.name}")) for file in self.path("/").glob(pattern)]
        for file, place in moved:
            file.rename(place)
        try:
            yield
        finally:
            for file, place in moved:
                place.rename(file)

    @contextmanager
    def own_file(self, name: str, text: str) -> Iterator[None]:
        """A machine's own configuration, for a while."""
        path = self.path(f"/etc/vgpud/machines/{name}.toml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        try:
            yield
        finally:
            path.unlink()

    def vgpud_status(self, name: str) -> dict[str, Any]:
        """What the daemon of that domain says of itself, where vgpuctl asks it."""
        return status(self.path(f"/run/vgpud/machines/{name}"))

    @contextmanager
    def journal(self) -> Iterator[socket.socket]:
        """Where systemd-journald would listen for streams of lines."""
        path = self.path("/run/systemd/journal/stdout")
        path.parent.mkdir(exist_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            path.chmod(0o666)
            listening.listen()
            listening.settimeout(10)
            yield listening
        path.unlink()

    def domains(self) -> list[str]:
        """The names of those that run."""
        return self.virsh("list", "--name").split()

    def processes(self) -> dict[int, list[str]]:
        """The numbers, in there, of all processes of vgpud, with their command lines."""
        found = {}
        for folder in self.path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_text().split("\0")[:-1]
            except OSError:
                continue  # It ended meanwhile.
            if any(word.startswith("vgpud") for word in words[1:]):
                found[int(folder.name)] = words
        return found

    def status(self, process: int) -> dict[str, str]:
        """/proc/PID/status, field by field; nothing of one that has ended."""
        try:
            lines = self.path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:
            return {}
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def kill(self, process: int) -> None:
        self._do("kill", "-KILL", str(process))

    def pid_files(self) -> list[Path]:
        """libvirt's own notes of the GPUs that it started."""
        return sorted(self.path("/run/libvirt/qemu").glob("*-vhost-user-gpu.pid"))


def _child(element: ElementTree.Element, name: str) -> ElementTree.Element:
    found = element.find(name)
    assert found is not None
    return found


class Domain:
    """One that libvirt has started."""

    def __init__(self, hypervisor: Hypervisor, name: str) -> None:
        self.name = name
        self._hypervisor = hypervisor
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(hypervisor.path(f"{SHARED}/{name}.sock")))
        self.guest = GuestShell(self._connection)
        (self.pid_file,) = hypervisor.path("/run/libvirt/qemu").glob(
            f"*-{name}-*-vhost-user-gpu.pid"
        )
        self.vgpud = int(self.pid_file.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the domain as it is."""
        self._connection.close()

    def virsh(self, command: str, *words: str) -> str:
        """What virsh prints of this domain."""
        return self._hypervisor.virsh(command, self.name, *words)

    @property
    def arguments(self) -> Sequence[str]:
        """The flags that libvirt started vgpud with."""
        words = self._hypervisor.processes()[self.vgpud]
        return words[words.index("vgpud") + 1 :]

    def device_process(self) -> int:
        """The number of the process that runs the device, 0 while there is none."""
        mine = (
            process
            for process in self.processes()
            if self._hypervisor.status(process).get("Name") == "vgpud-device"
        )
        return next(mine, 0)

    def processes(self) -> set[int]:
        """vgpud and all below it."""
        found = {self.vgpud}
        while more := {
            process
            for process in self._hypervisor.processes().keys() - found
            if int(self._hypervisor.status(process).get("PPid", 0)) in found
        }:
            found |= more
        return found

    def kill_device_process(self) -> bool:
        """Whether another one came in its place."""
        number = self.device_process()
        self._hypervisor.kill(number)
        return wait_until(lambda: self.device_process() not in (0, number))

    def wait_ready(self) -> None:
        """Until the guest has booted (again)."""
        patience = Patience(self._hypervisor.path(f"/proc/{self._qemu()}"))
        self.guest.wait_ready(patience.over)

    def _qemu(self) -> int:
        return int(self._hypervisor.path(f"/run/libvirt/qemu/{self.name}.pid").read_text())

    def kill_qemu(self) -> None:
        self._hypervisor.kill(self._qemu())

    def gone(self) -> bool:
        """Whether the domain, its vgpud and the note of that have all ended, soon."""

        def ended() -> bool:
            return (
                self.name not in self._hypervisor.domains()
                and self.vgpud not in self._hypervisor.processes()
                and not self.pid_file.exists()
            )

        return wait_until(ended, 10)

    def screendump(self, head: int = 0) -> Picture:
        """What virsh takes for a picture of the screen."""
        file = f"{SHARED}/{self.name}.png"
        self.virsh("screenshot", file, "--screen", str(head))
        with Image.open(io.BytesIO(self._hypervisor.path(file).read_bytes())) as image:
            return Picture(image.width, image.height, image.convert("RGB").tobytes())

    def keep(self, picture: Picture, what: str) -> None:
        folder = evidence_folder() / "libvirt"
        folder.mkdir(parents=True, exist_ok=True)
        picture.save_png(folder / f"{self.name}-{what}.png")


def blocks(language: str) -> list[str]:
    """The examples of that language on libvirt's page."""
    page = (ROOT / "docs/libvirt.md").read_text()
    found = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found
    return found
