# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The kernel and the processor: virtualization, page attributes, confinement, memory that can be shared."""

import os
import re
import resource
from collections.abc import Iterator

from vgpud.ctl.doctor.finding import Finding, broken, limited, ok
from vgpud.ctl.doctor.host import Host
from vgpud.ctl.status import size

OLDEST = (6, 1)
"""Debian 12's kernel: older ones were not tried."""


def version(text: str) -> tuple[int, ...]:
    """The first dotted numbers in a text; empty if there are none."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found.group().split("."))) if found else ()


def kernel(host: Host) -> Iterator[Finding]:
    """Its version."""
    if version(host.release)[:2] < OLDEST:
        yield limited(f"Linux {host.release}: 6.1 and newer were tried")
    else:
        yield ok(f"Linux {host.release}")


def kvm(host: Host) -> Iterator[Finding]:
    """Whether guests run on the processor itself."""
    if not host.path("/dev/kvm").exists():
        yield limited(
            "there is no /dev/kvm: guests run many times slower, without hardware virtualization",
            "sudo modprobe -a kvm_intel kvm_amd  # or switch it on in the firmware's setup",
        )
    elif not host.may("/dev/kvm"):
        yield limited(
            f"{host.user_name} may not use /dev/kvm: guests of this user run many times slower",
            *host.lines_to_use("/dev/kvm", "kvm"),
        )
    else:
        yield ok("/dev/kvm may be used")


# Where GPU memory that is mapped into a guest would be cached in the wrong way, and what helps.
AMD_KERNEL = (6, 13)
PAT_KERNEL = (6, 16)
PAT_QEMU = "qemu-system-x86_64 -accel kvm,honor-guest-pat=on …  # QEMU 11 or newer"


def page_attributes(host: Host) -> Iterator[Finding]:
    """What matters when memory of the GPU itself is mapped into guests, as for Vulkan; not in 2D,
    and not for OpenGL.
    """
    drivers = {host.driver_of(node) for node in host.render_nodes} - {""}
    here = version(host.release)[:2]
    processor = host.text("/proc/cpuinfo")
    intel = "GenuineIntel" in processor
    meteor_lake = intel and re.search(r"^model\s*: (170|172)$", processor, re.MULTILINE)
    found = False
    if "amdgpu" in drivers and here < AMD_KERNEL:
        found = True
        yield limited(
            f"amdgpu on Linux {host.release}: mapping memory of the GPU into a guest, as for "
            f"Vulkan, needs Linux 6.13; 2D and OpenGL do not need it"
        )
    if intel and (drivers & {"amdgpu", "nvidia", "nouveau", "xe"} or (drivers and meteor_lake)):
        found = True
        names = ", ".join(sorted(drivers))
        if here < PAT_KERNEL:
            yield limited(
                f"{names} on an Intel processor and Linux {host.release}: mapping memory of the "
                f"GPU into a guest, as for Vulkan, needs Linux 6.16 and QEMU's honor-guest-pat; 2D "
                f"and OpenGL do not need it"
            )
        else:
            yield limited(
                f"{names} on an Intel processor: mapping memory of the GPU into a guest, as for "
                f"Vulkan, needs QEMU's honor-guest-pat; 2D and OpenGL do not need it",
                PAT_QEMU,
            )
    if not found:
        yield ok("no GPU here is known to need anything special to map its memory into guests")


def walls(host: Host) -> Iterator[Finding]:
    """What the processes of a machine confine themselves with."""
    from vgpud.walls import WallError, landlock

    try:
        yield ok(
            f"Landlock, version {landlock.version()}{_more(landlock.version(), landlock.NEWEST)}"
        )
    except WallError as error:
        yield limited(
            f"{error}: a process that a guest has taken over could read files of its user",
            "cat /sys/kernel/security/lsm  # landlock must be in it (boot parameter "
            "lsm=landlock,…)",
        )
    if not any(name.startswith("libseccomp.so.2") for name in host.libraries):
        yield limited(
            "libseccomp is not installed: a process that a guest has taken over could make any system call",
            host.install("libseccomp2", "libseccomp.so.2"),
        )
    elif "seccomp" not in host.text("/proc/self/status").lower():
        yield limited("this kernel has no seccomp")
    else:
        yield ok("seccomp, with libseccomp")


def _more(here: int, newest: int) -> str:
    return (
        "" if here >= newest else f"; a newer kernel has {newest}, which separates processes better"
    )


FILES = "/dev/shm"  # noqa: S108 — it is only looked at


def shared_memory(host: Host) -> Iterator[Finding]:
    """Whether a VMM can share the guest's memory: from memfd, or files in /dev/shm."""
    try:
        os.close(os.memfd_create("vgpuctl-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
    except OSError as error:
        yield broken(f"no memory file can be made: {error.strerror}; nothing works without one")
        return
    yield ok("memory files can be made: -object memory-backend-memfd,share=on")
    try:
        there = os.statvfs(host.path(FILES))
    except OSError:
        return
    whole = there.f_blocks * there.f_frsize
    if whole < 1 << 30:
        yield limited(
            f"{FILES} has only {size(whole)}: a guest whose memory is a file there ends with "
            f"SIGBUS; memory-backend-memfd does not use it",
            "sudo mount -o remount,size=50% /dev/shm",
        )


DESCRIPTORS_MIN = 4096


def descriptors(host: Host) -> Iterator[Finding]:
    """How many descriptors a process may have: each image takes one in two processes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < DESCRIPTORS_MIN:
        yield limited(
            f"a process may have only {hard} descriptors: a desktop's images, or several machines, "
            f"need more",
            "ulimit -Hn 524288  # as root; for a unit LimitNOFILE=524288",
        )
    else:
        yield ok(f"a process may have {hard} descriptors")
