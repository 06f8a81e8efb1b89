# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A running machine: how far its guest's driver has come on the way to OpenGL, and what it lacks."""

from pathlib import Path

from vgpud.control.protocol import Fields
from vgpud.ctl.doctor.finding import Finding, broken, limited, ok
from vgpud.ctl.doctor.graphics import is_software
from vgpud.ctl.status import count, printable, restarts
from vgpud.modes import capset_name

VIRGL = 1 << 0  # VIRTIO_GPU_F_VIRGL, of the features
JOURNAL = "journalctl -t vgpud -e"


def examined(path: Path, status: Fields, machine: Fields) -> Finding:
    """The first thing that is in the way, or what it draws by; lines that a guest is to run begin with "guest:"."""
    name = printable(str(machine["name"]))
    verdict, text, remedy = _examined(path, status, machine)
    return Finding(verdict, f"machine {name}: {text}", remedy)


def _examined(path: Path, status: Fields, machine: Fields) -> Finding:
    if not machine["answers"]:
        return broken("its session process does not answer", JOURNAL)
    if machine["given_up"]:
        return broken(
            f"its device is given up after {restarts(machine)}: it shows nothing until the guest begins anew",
            JOURNAL,
            "guest: reboot",
        )
    if not machine["renderer"]:
        return limited("its renderer has not started yet", JOURNAL)
    return _driver(path, status, machine)


def _driver(path: Path, status: Fields, machine: Fields) -> Finding:
    driver = machine["driver"]
    if not driver["accepted"]:
        return limited(
            "no driver has accepted the device: the guest has not booted so far, or has no driver for virtio-gpu",
            "guest: lspci -nnk | grep -A 3 1af4:1050",
            "guest: sudo modprobe virtio_gpu",
        )
    if not driver["offered"] & VIRGL:
        return limited(
            f"the guest draws in software (llvmpipe), since mode {status['mode']} offers no OpenGL",
            f'vgpud --socket-path {path} --gpu-mode virglrenderer  # or mode = "virglrenderer" below [renderer]',
        )
    if not driver["accepted"] & VIRGL:
        return limited(
            "OpenGL (VIRGL) was offered and not accepted: firmware runs, or a driver without 3D, or the VMM holds it back",
            "guest: dmesg | grep 'virtio_gpu.*features'  # +virgl is to be there",
        )
    return _program(machine)


def _program(machine: Fields) -> Finding:
    driver = machine["driver"]
    capsets = ", ".join(capset_name(one) for one in driver["capsets"])
    if not driver["capsets"]:
        return limited(
            "the guest's kernel has accepted OpenGL, and no program has asked for it: none was started, Mesa is missing, or "
            "its user may not use the device",
            "guest: sudo apt install libgl1-mesa-dri mesa-utils && glxinfo -B",
            "guest: ls -l /dev/dri; id  # the group render or video, if nobody is logged in at the screen",
        )
    if not driver["contexts"]:
        return limited(
            f"Mesa in the guest has looked at what there is ({capsets}) and made no context: it has fallen back to llvmpipe",
            "guest: env | grep -E 'LIBGL|GALLIUM|MESA'  # LIBGL_ALWAYS_SOFTWARE, GALLIUM_DRIVER: unset them",
            "guest: LIBGL_DEBUG=verbose EGL_LOG_LEVEL=debug glxinfo -B",
        )
    made = f"{count(driver['contexts'], 'context')} made ({capsets}), {len(machine['contexts'])} there now"
    if machine["restarts"]:
        return limited(
            f"{made}; {restarts(machine)}: programs that ran then have lost OpenGL, and are to be started anew",
            JOURNAL,
        )
    if is_software(machine["renderer"]):
        return limited(
            f"the guest's programs are drawn by this host, {made}, and there by the processor: {printable(machine['renderer'])}",
            "vgpuctl doctor  # what it says of render nodes",
        )
    return ok(
        f"the guest's programs are drawn by this host: {made}; {printable(machine['renderer'])}"
    )
