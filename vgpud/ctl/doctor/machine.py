# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A running machine: how far its guest's driver has come on the way to OpenGL, and what is
missing.
"""

from pathlib import Path

from vgpud.control.protocol import Fields
from vgpud.ctl.doctor.finding import Finding, broken, limited, ok
from vgpud.ctl.doctor.graphics import is_software
from vgpud.ctl.status import count, printable, restarts
from vgpud.modes import capset_name

VIRGL = 1 << 0  # VIRTIO_GPU_F_VIRGL, of the features
JOURNAL = "journalctl -t vgpud -e"


def examined(path: Path, status: Fields, machine: Fields) -> Finding:
    """The first thing that is missing, or what draws; lines to run in the guest begin with
    "guest:".
    """
    name = printable(str(machine["name"]))
    verdict, text, remedy = _examined(path, status, machine)
    return Finding(verdict, f"machine {name}: {text}", remedy)


def _examined(path: Path, status: Fields, machine: Fields) -> Finding:
    if not machine["answers"]:
        return broken("its session process does not answer", JOURNAL)
    if machine["given_up"]:
        return broken(
            f"its device is given up after {restarts(machine)}: it shows nothing until the guest "
            f"starts again",
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
            "no driver has accepted the device: the guest has not booted far enough, or has no "
            "driver for virtio-gpu",
            "guest: lspci -nnk | grep -A 3 1af4:1050",
            "guest: sudo modprobe virtio_gpu",
        )
    if not driver["offered"] & VIRGL:
        return limited(
            f"the guest draws in software (llvmpipe), since the mode {status['mode']} offers no "
            f"OpenGL",
            f'vgpud --socket-path {path} --gpu-mode virglrenderer  # or mode = "virglrenderer" below [renderer]',
        )
    if not driver["accepted"] & VIRGL:
        return limited(
            "OpenGL (VIRGL) was offered but not accepted: firmware is running, or a driver without "
            "3D, or the VMM does not pass it on",
            "guest: dmesg | grep 'virtio_gpu.*features'  # +virgl must be there",
        )
    return _program(machine)


def _program(machine: Fields) -> Finding:
    driver = machine["driver"]
    capsets = ", ".join(capset_name(one) for one in driver["capsets"])
    if not driver["capsets"]:
        return limited(
            "the guest's kernel has accepted OpenGL, but no program has asked for it: none was "
            "started, Mesa is missing, or its user may not use the device",
            "guest: sudo apt install libgl1-mesa-dri mesa-utils && glxinfo -B",
            "guest: ls -l /dev/dri; id  # the group render or video, if nobody is logged in at the screen",
        )
    if not driver["contexts"]:
        return limited(
            f"Mesa in the guest has read the capability sets ({capsets}) but made no context: it "
            f"has fallen back to llvmpipe",
            "guest: env | grep -E 'LIBGL|GALLIUM|MESA'  # LIBGL_ALWAYS_SOFTWARE, GALLIUM_DRIVER: unset them",
            "guest: LIBGL_DEBUG=verbose EGL_LOG_LEVEL=debug glxinfo -B",
        )
    made = f"{count(driver['contexts'], 'context')} made ({capsets}), {len(machine['contexts'])} there now"
    if machine["restarts"]:
        return limited(
            f"{made}; {restarts(machine)}: programs that ran then have lost OpenGL, and must be "
            f"started again",
            JOURNAL,
        )
    if is_software(machine["renderer"]):
        return limited(
            f"this host draws the guest's programs, {made}, but with the processor: "
            f"{printable(machine['renderer'])}",
            "vgpuctl doctor  # see what it says of render nodes",
        )
    return ok(f"this host draws the guest's programs: {made}; {printable(machine['renderer'])}")
