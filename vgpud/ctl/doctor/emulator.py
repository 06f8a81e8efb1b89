# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""QEMU: its version, whether it has the device, and which of its displays work with it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from vgpud.ctl.doctor.finding import Finding, Verdict, broken, limited, ok
from vgpud.ctl.doctor.graphics import mesa_version
from vgpud.ctl.doctor.host import Host
from vgpud.ctl.doctor.kernel import version

OLDEST = (7, 2)
WITHOUT_KVM = (8, 0)
DEVICES = ("vhost-user-gpu-pci", "vhost-user-vga")
# Red Hat's is not in the search path.
PLACES = ("qemu-system-{}", "qemu-kvm", "/usr/libexec/qemu-kvm", "kvm")


def program(host: Host) -> str | None:
    """The QEMU that the user has named, or the one that is installed."""
    if host.program is not None:
        return host.which(host.program)
    found = (host.which(place.format(host.machine)) for place in PLACES)
    return next((path for path in found if path), None)


def qemu(host: Host) -> Iterator[Finding]:
    """Its version."""
    path = program(host)
    if path is None:
        if host.program is not None:
            yield broken(f"there is no program {host.program}")
            return
        yield limited(
            "QEMU is not installed, or not in PATH (name it with --qemu); another VMM may work",
            host.install(f"qemu-system-{_debian(host)}", f"qemu-system-{host.machine}"),
        )
        return
    output = host.run(path, "--version")
    here = version(output.text) if output and output.status == 0 else ()
    if not here:
        yield broken(f"{path} --version names no version", f"{path} --version")
    elif here[:2] < OLDEST:
        yield broken(
            f"{path} is QEMU {_dotted(here)}: its vhost-user-gpu is too old, 7.2 or newer is needed"
        )
    elif here[:2] < WITHOUT_KVM and not host.may("/dev/kvm"):
        yield broken(
            f"{path} is QEMU {_dotted(here)}: before 8.0 this device needs KVM, which this user "
            f"may not use",
            *host.lines_to_use("/dev/kvm", "kvm"),
        )
    else:
        yield ok(f"{path} is QEMU {_dotted(here)}")


def _debian(host: Host) -> str:
    return {"x86_64": "x86", "aarch64": "arm"}.get(host.machine, "misc")


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def devices(host: Host) -> Iterator[Finding]:
    """Whether QEMU was built with the devices, and their module is installed."""
    path = program(host)
    output = host.run(path, "-device", "help") if path else None
    if output is None:
        return
    missing = [name for name in DEVICES if f'name "{name}"' not in output.text]
    if len(missing) == len(DEVICES):
        yield broken(
            f"{path} has no {' and no '.join(missing)}",
            host.install("--reinstall qemu-system-common", "hw-display-virtio-gpu-pci.so"),
        )
    elif missing:
        yield limited(f"{path} has no {missing[0]}")
    else:
        yield ok(f"it has {' and '.join(DEVICES)}")


class Display(NamedTuple):
    """A display of QEMU: its flag, what ``-display help`` calls it, and why it does not work here;
    empty when it does.
    """

    flag: str
    needs: str
    hindrance: Callable[[Host], str]


def _nothing(host: Host) -> str:
    return ""


def _no_buffers(host: Host) -> str:
    """Why a window of X or Wayland cannot take DMA buffers here; empty when it can."""
    if host.render_nodes or mesa_version(host) >= (26,):
        return ""
    return "without a GPU this needs Mesa 26"


def _no_node(host: Host) -> str:
    return "" if host.render_nodes else "this needs a render node"


DISPLAYS = (
    Display("-display none", "none", _nothing),
    Display("-display gtk,gl=on", "gtk", _no_buffers),
    Display("-display sdl,gl=on", "sdl", _no_buffers),
    Display("-display dbus,gl=on", "dbus", _no_node),
    Display("-display egl-headless", "egl-headless", _no_node),
)
REFUSED = (
    "with any vhost-user GPU QEMU refuses -vnc, and gtk and sdl without gl=on, and with dbus without "
    "gl=on it ends when the first viewer comes; to see a machine's screen anyway:"
)
VIEWER = "vgpud --view unix:/run/vgpud/view …; vncviewer /run/vgpud/view"


def displays(host: Host) -> Iterator[Finding]:
    """Which ``-display`` works."""
    path = program(host)
    output = host.run(path, "-display", "help") if path else None
    if output is None:
        return
    built = set(output.text.split())
    reasons: dict[str, list[str]] = {}
    for one in DISPLAYS:
        if one.needs in built:
            reasons.setdefault(one.hindrance(host), []).append(one.flag)
    yield ok(f"these work: {', '.join(reasons.pop('', ()))}")
    for reason, flags in reasons.items():
        yield limited(f"{', '.join(flags)}: {reason}")
    yield Finding(Verdict.OK, REFUSED, (VIEWER,))
