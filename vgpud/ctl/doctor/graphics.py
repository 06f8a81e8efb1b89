# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What draws OpenGL and Vulkan on this host."""

import re
from collections.abc import Iterator
from pathlib import Path

from vgpud.ctl.doctor.finding import Finding, Verdict, broken, limited, ok
from vgpud.ctl.doctor.host import Host
from vgpud.ctl.doctor.kernel import version
from vgpud.modes import CAPSETS

SOFTWARE = ("llvmpipe", "softpipe", "swrast", "lavapipe")
"""In the names of renderers that draw without a GPU."""
# The kernel's driver → Mesa's files for it, one of which is needed.
GL_DRIVERS = {
    "i915": ("iris", "crocus", "i915"),
    "xe": ("iris",),
    "amdgpu": ("radeonsi",),
    "radeon": ("r600", "r300", "radeonsi"),
    "nouveau": ("nouveau",),
    "virtio_gpu": ("virtio_gpu",),
    "virtio-pci": ("virtio_gpu",),
    "vmwgfx": ("vmwgfx",),
    "msm": ("msm", "kgsl"),
    "panfrost": ("panfrost",),
    "v3d": ("v3d",),
}
LIBRARY_FOLDERS = ("/usr/lib/*-linux-gnu*", "/usr/lib64", "/usr/lib")
ICD_FOLDERS = ("/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d")


def is_software(renderer: str) -> bool:
    """Whether the processor draws."""
    return any(name in renderer.lower() for name in SOFTWARE)


def render_nodes(host: Host) -> Iterator[Finding]:
    """GPUs, and whether this user may use them."""
    if not host.render_nodes:
        yield limited(
            "there is no render node (/dev/dri/renderD128): the processor draws OpenGL, and QEMU's "
            "displays egl-headless and dbus,gl=on do not work",
            "ls -l /dev/dri; lspci -k | grep -A 3 -E 'VGA|3D|Display'  # is there a GPU, and does "
            "it have a driver?",
        )
    for node in host.render_nodes:
        driver = host.driver_of(node) or "an unknown driver"
        if host.may(node):
            yield ok(f"{node} ({driver}) may be used")
        else:
            yield limited(
                f"{host.user_name} may not use {node} ({driver}): for this user the processor "
                f"draws",
                *host.lines_to_use(node, "render"),
            )


QEMU_USERS = ("libvirt-qemu", "qemu", "vgpud")
"""The users that distributions run machines as, and our units the daemon."""


def groups(host: Host) -> Iterator[Finding]:
    """Whether other users are in the groups that they need: libvirt runs QEMU and vgpud as QEMU's
    user, the units run as vgpud.
    """
    found = False
    for user in host.users(*QEMU_USERS):
        found = True
        missing = [name for name in _groups_needed(host) if name not in host.groups(user)]
        if user == "vgpud" and "render" in missing:
            missing.remove("render")  # the unit gives it this group
        if missing:
            yield limited(
                f"the user {user} is not in the group {' and '.join(missing)}",
                *(f"sudo adduser {user} {name}" for name in missing),
            )
        else:
            yield ok(f"the user {user} is in all groups that it needs")
    if not found:
        yield ok(f"none of the users {', '.join(QEMU_USERS)} exists")


def _groups_needed(host: Host) -> list[str]:
    needed = ["kvm"] if host.path("/dev/kvm").exists() else []
    # For a node of the group root no other group helps.
    nodes = {host.group_of(node) for node in host.render_nodes} - {"", "root"}
    return [*needed, *sorted(nodes)]


def virglrenderer(host: Host) -> Iterator[Finding]:
    """Whether OpenGL works, tried as libvirt does; and what draws it."""
    renderers = host.capabilities.get("renderers")
    if not renderers:
        yield broken("vgpud --print-capabilities says nothing", "vgpud --print-capabilities")
        return
    reason = renderers["virglrenderer"].get("unavailable")
    if reason:
        yield limited(
            f"no OpenGL for guests: {reason}",
            host.install("libvirglrenderer1 libegl1 libgl1-mesa-dri", "libvirglrenderer.so.1"),
        )
        return
    text = f"OpenGL for guests by {host.renderer}"
    if is_software(host.renderer) and host.render_nodes:
        yield limited(
            f"{text}: the processor draws, although there is a GPU",
            f"vgpud --gpu-mode virglrenderer --gpu-device {host.render_nodes[0]} …",
        )
    elif is_software(host.renderer):
        yield ok(f"{text}, on the processor")
    else:
        yield ok(text)


def gpu(host: Host) -> Iterator[Finding]:
    """Whether OpenGL starts on a render node."""
    if not host.render_nodes or not host.renderer:
        return
    if "render-node" in host.capabilities.get("features", ()):
        yield ok("OpenGL starts on a render node")
        return
    node = host.render_nodes[0]
    yield limited(
        f"OpenGL does not start on {' or '.join(host.render_nodes)}, so libvirt is not told of a "
        f"render node",
        f"vgpud --gpu-mode virglrenderer --gpu-device {node} --socket-path /tmp/vgpud-try.sock  # says why",
    )


def mesa(host: Host) -> Iterator[Finding]:
    """The drivers that are installed, compared with those that are needed."""
    vendors = host.names("/usr/share/glvnd/egl_vendor.d/*.json")
    drivers = {path.name.removesuffix("_dri.so") for path in _library_files(host, "dri/*_dri.so")}
    if not vendors or not drivers:
        missing = "EGL" if not vendors else "OpenGL drivers"
        yield limited(
            f"Mesa's {missing} are not installed: virglrenderer has nothing to draw with",
            host.install("libegl1 libegl-mesa0 libgl1-mesa-dri", "swrast_dri.so"),
        )
        return
    for node in host.render_nodes:
        kernel = host.driver_of(node)
        wanted = GL_DRIVERS.get(kernel, ())
        if wanted and not drivers & set(wanted):
            yield limited(
                f"Mesa has no driver for {node} ({kernel}): {' or '.join(wanted)}",
                host.install("libgl1-mesa-dri", f"{wanted[0]}_dri.so"),
            )
    names = ", ".join(path.stem for path in vendors)
    yield ok(f"Mesa{_mesa_version(host)}, {len(drivers)} OpenGL drivers; EGL by {names}")


def mesa_version(host: Host) -> tuple[int, ...]:
    """From 24.2 on a library has the version in its name; empty for older ones."""
    return tuple(map(int, _mesa_version(host).strip().split("."))) if _mesa_version(host) else ()


def _mesa_version(host: Host) -> str:
    for path in _library_files(host, "libgallium-*.so"):
        found = re.search(r"libgallium-(\d+(?:\.\d+)*)", path.name)
        if found:
            return f" {found.group(1)}"
    return ""


def _library_files(host: Host, pattern: str) -> list[Path]:
    return [path for folder in LIBRARY_FOLDERS for path in host.names(f"{folder}/{pattern}")]


NVIDIA_DRIVER = (570, 86)


def vulkan(host: Host) -> Iterator[Finding]:
    """Vulkan in guests (Venus), tried with the render server."""
    virgl = host.capabilities.get("renderers", {}).get("virglrenderer", {})
    if CAPSETS["venus"].capset_id in virgl.get("capsets", ()):
        drivers = [path.stem for folder in ICD_FOLDERS for path in host.names(f"{folder}/*.json")]
        yield ok(f"Vulkan for guests, by {', '.join(drivers) or 'a driver'}")
    elif virgl.get("library"):
        why = virgl.get("without", {}).get("venus", "the library does not have it")
        yield limited(
            f"no Vulkan for guests: {why}",
            host.install("virgl-server libvulkan1 mesa-vulkan-drivers", "virgl_render_server"),
        )
    nvidia = version(host.text("/sys/module/nvidia/version"))
    if nvidia and nvidia[:2] < NVIDIA_DRIVER:
        yield limited(
            f"NVIDIA's driver {nvidia[0]}.{nvidia[1]}: Vulkan for guests needs 570.86 and "
            f"virglrenderer 1.2"
        )


def gfxstream(host: Host) -> Iterator[Finding]:
    """Whether the mode gfxstream starts, which needs rutabaga."""
    found = host.capabilities.get("renderers", {}).get("gfxstream")
    if found is None:
        return
    if "unavailable" in found:
        # Not a defect: most guests draw with virglrenderer.
        yield Finding(
            Verdict.OK if host.renderer else Verdict.LIMITED,
            f"the mode gfxstream is not available: {found['unavailable']}",
        )
    else:
        yield ok(f"the mode gfxstream starts: {found.get('library')}")
