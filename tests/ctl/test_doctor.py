# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl doctor``: what it says of hosts that are made up, of this one, and of machines that run."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vgpud.ctl.doctor import emulator, graphics, kernel, service, unit
from vgpud.ctl.doctor.checks import CHECKS, Result, examine
from vgpud.ctl.doctor.finding import Check, Finding, Verdict, broken, limited, ok
from vgpud.ctl.doctor.host import Host, Output
from vgpud.ctl.doctor.machine import examined
from vgpud.ctl.doctor.report import as_json, text, worst
from vgpud.ctl.status import COLUMNS

from ..daemon.running import daemon, devices, status, wait_until
from ..device.process import opengl_unavailable
from ..driver import commands, commands_3d
from ..driver.backend import Backend, Machine
from ..driver.frontend import QEMU_FEATURES, Feature

LLVMPIPE = "libvirglrenderer.so.1.8.0; llvmpipe (LLVM 19.1.7, 256 bits)"
RADEON = "libvirglrenderer.so.1.8.0; AMD Radeon Graphics (radeonsi, renoir)"


class MadeUp(Host):
    """A host of these files and these programs, with what they print."""

    def __init__(self, root: Path, programs: dict[str, str] | None = None) -> None:
        super().__init__(None, root)
        self.programs = {} if programs is None else programs
        self.forbidden: set[str] = set()
        self.file_groups: dict[str, str] = {}
        self.people: dict[str, set[str]] = {}
        self.user = 1000
        self.machine, self.release = "x86_64", "6.12.1"
        self.environment = {"XDG_RUNTIME_DIR": str(root)}
        self.says: dict[str, Any] = {}

    def add(self, name: str, content: str = "") -> None:
        file = self.path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def add_node(self, driver: str, number: int = 128) -> None:
        self.add(f"/dev/dri/renderD{number}")
        folder = self.path(f"/sys/class/drm/renderD{number}/device")
        folder.mkdir(parents=True)
        (folder / "driver").symlink_to(f"../bus/pci/drivers/{driver}")

    def draws(self, library: str = "", reason: str = "", *features: str) -> None:
        virgl = {"library": library} if library else {"unavailable": reason}
        self.says = {"features": list(features), "renderers": {"virglrenderer": virgl}}

    def may(self, name: str, mode: int = os.R_OK | os.W_OK) -> bool:
        return name not in self.forbidden and self.path(name).exists()

    def group_of(self, name: str) -> str:
        return self.file_groups.get(name, "")

    def which(self, name: str) -> str | None:
        return f"/usr/bin/{name}" if name in self.programs else None

    def run(self, *command: str, seconds: float = 10.0) -> Output | None:
        name = Path(command[0]).name
        printed = self.programs.get(f"{name} {command[-1]}", self.programs.get(name))
        return None if printed is None else Output(0, printed)

    def users(self, *names: str) -> Iterator[str]:
        yield from (name for name in names if name in self.people)

    def groups(self, user: str) -> set[str]:
        return self.people[user]

    def _find(self, name: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return find()  # again, since a test goes on to the next host

    def _find_capabilities(self) -> dict[str, Any]:
        return self.says


@pytest.fixture
def host(tmp_path: Path) -> MadeUp:
    made_up = MadeUp(tmp_path)
    made_up.add("/etc/os-release", 'ID=debian\nVERSION_ID="13"\n')
    return made_up


def found(check: Check, host: Host) -> list[Finding]:
    return list(check(host))


def only(check: Check, host: Host, verdict: Verdict) -> Finding:
    (finding,) = [one for one in check(host) if one.verdict == verdict]
    return finding


# --- one check each


def test_an_old_kernel_is_named(host: MadeUp) -> None:
    host.release = "5.15.0-91-generic"
    assert "Linux 5.15.0-91-generic" in only(kernel.kernel, host, Verdict.LIMITED).text
    host.release = "6.1.0-18-amd64"
    assert only(kernel.kernel, host, Verdict.OK).text == "Linux 6.1.0-18-amd64"


def test_kvm_that_may_not_be_used_comes_with_the_line_that_allows_it(host: MadeUp) -> None:
    assert "no /dev/kvm" in only(kernel.kvm, host, Verdict.LIMITED).text
    host.add("/dev/kvm")
    host.forbidden.add("/dev/kvm")
    host.file_groups["/dev/kvm"] = "kvm"
    (line,) = only(kernel.kvm, host, Verdict.LIMITED).remedy
    assert line.startswith(f"sudo adduser {host.user_name} kvm")
    host.file_groups["/dev/kvm"] = "root"
    given, joined = only(kernel.kvm, host, Verdict.LIMITED).remedy
    assert given.startswith("sudo chgrp kvm /dev/kvm ")
    assert joined == line, "nobody is asked to join root's group"
    host.forbidden.clear()
    assert only(kernel.kvm, host, Verdict.OK)


@pytest.mark.parametrize(
    ("driver", "release", "processor", "words"),
    [
        ("amdgpu", "6.12.1", "AuthenticAMD", "needs Linux 6.13"),
        ("amdgpu", "6.13.0", "AuthenticAMD", None),
        ("nvidia", "6.12.1", "GenuineIntel", "needs Linux 6.16"),
        ("nvidia", "6.16.3", "GenuineIntel", "needs QEMU's honor-guest-pat"),
        ("xe", "7.0.0", "GenuineIntel", "needs QEMU's honor-guest-pat"),
        ("i915", "6.1.0", "GenuineIntel", None),
        ("i915", "6.1.0", "GenuineIntel\nmodel\t\t: 170\n", "needs Linux 6.16"),
        ("nvidia", "6.1.0", "AuthenticAMD", None),
    ],
)
def test_page_attributes(
    host: MadeUp, driver: str, release: str, processor: str, words: str | None
) -> None:
    host.add_node(driver)
    host.release = release
    host.add("/proc/cpuinfo", f"vendor_id\t: {processor}\n")
    (finding,) = found(kernel.page_attributes, host)
    assert (finding.verdict == Verdict.OK) == (words is None)
    assert words is None or words in finding.text


def test_render_nodes_are_named_with_their_driver_and_who_may_use_them(host: MadeUp) -> None:
    assert "no render node" in only(graphics.render_nodes, host, Verdict.LIMITED).text
    host.add_node("amdgpu", 128)
    host.add_node("i915", 129)
    host.forbidden.add("/dev/dri/renderD129")
    host.file_groups["/dev/dri/renderD129"] = "render"
    assert (
        only(graphics.render_nodes, host, Verdict.OK).text
        == "/dev/dri/renderD128 (amdgpu) may be used"
    )
    (line,) = only(graphics.render_nodes, host, Verdict.LIMITED).remedy
    assert f"adduser {host.user_name} render" in line


def test_users_that_lack_a_group_are_named(host: MadeUp) -> None:
    host.add("/dev/kvm")
    host.add_node("amdgpu")
    host.file_groups["/dev/dri/renderD128"] = "render"
    host.people = {"libvirt-qemu": {"kvm"}, "vgpud": {"kvm"}}
    finding = only(graphics.groups, host, Verdict.LIMITED)
    assert finding.remedy == ("sudo adduser libvirt-qemu render",)
    host.people["libvirt-qemu"].add("render")
    assert {one.verdict for one in found(graphics.groups, host)} == {Verdict.OK}


def test_what_draws_is_said_and_why_nothing_does(host: MadeUp) -> None:
    assert only(graphics.virglrenderer, host, Verdict.BROKEN)
    host.draws(reason="cannot open shared object")
    finding = only(graphics.virglrenderer, host, Verdict.LIMITED)
    assert "cannot open shared object" in finding.text
    assert finding.remedy[0].startswith("sudo apt install libvirglrenderer1")
    host.draws(LLVMPIPE)
    assert "on the processor" in only(graphics.virglrenderer, host, Verdict.OK).text
    host.add_node("amdgpu")
    assert "though there is a GPU" in only(graphics.virglrenderer, host, Verdict.LIMITED).text
    host.draws(RADEON, "", "virgl")
    assert only(graphics.virglrenderer, host, Verdict.OK).text.endswith(RADEON)
    assert "does not start on /dev/dri/renderD128" in only(graphics.gpu, host, Verdict.LIMITED).text
    host.draws(RADEON, "", "virgl", "render-node")
    assert only(graphics.gpu, host, Verdict.OK)


@pytest.mark.parametrize(
    ("system", "line"),
    [
        ("ID=ubuntu\nID_LIKE=debian\n", "sudo apt install libegl1 libegl-mesa0 libgl1-mesa-dri"),
        ('ID="fedora"\n', "sudo dnf install '*/swrast_dri.so'"),
        ("ID=gentoo\n", "install the package that has swrast_dri.so"),
        ("", "install the package that has swrast_dri.so"),
    ],
)
def test_what_is_missing_is_installed_as_the_distribution_does(
    host: MadeUp, system: str, line: str
) -> None:
    host.add("/etc/os-release", system)
    assert only(graphics.mesa, host, Verdict.LIMITED).remedy == (line,)


def test_vulkan_is_what_the_renderer_offers(host: MadeUp) -> None:
    host.draws(RADEON)
    host.says["renderers"]["virglrenderer"] |= {
        "capsets": [1, 2],
        "without": {"venus": "no server"},
    }
    assert only(graphics.vulkan, host, Verdict.LIMITED).text == "no Vulkan for guests: no server"
    host.says["renderers"]["virglrenderer"] |= {"capsets": [1, 2, 4]}
    host.add("/usr/share/vulkan/icd.d/radeon_icd.x86_64.json", "{}")
    assert "by radeon_icd.x86_64" in only(graphics.vulkan, host, Verdict.OK).text
    host.add("/sys/module/nvidia/version", "550.163.01\n")
    assert "550.163" in only(graphics.vulkan, host, Verdict.LIMITED).text
    host.draws(reason="nothing")
    host.add("/sys/module/nvidia/version", "575.51\n")
    assert found(graphics.vulkan, host) == []


def test_gfxstream_is_missed_where_nothing_else_draws(host: MadeUp) -> None:
    assert found(graphics.gfxstream, host) == []
    host.draws(RADEON)
    host.says["renderers"]["gfxstream"] = {"unavailable": "no library"}
    assert "no library" in only(graphics.gfxstream, host, Verdict.OK).text
    host.draws(reason="nothing")
    host.says["renderers"]["gfxstream"] = {"unavailable": "no library"}
    assert "no library" in only(graphics.gfxstream, host, Verdict.LIMITED).text
    host.says["renderers"]["gfxstream"] = {"library": "librutabaga_gfx_ffi.so.0"}
    assert "starts: librutabaga" in only(graphics.gfxstream, host, Verdict.OK).text


def test_mesa_without_the_driver_of_a_gpu(host: MadeUp) -> None:
    for name in ("dri/swrast_dri.so", "dri/iris_dri.so", "libgallium-26.1.3.so"):
        host.add(f"/usr/lib/x86_64-linux-gnu/{name}")
    host.add("/usr/share/glvnd/egl_vendor.d/50_mesa.json", "{}")
    host.add_node("amdgpu")
    assert "radeonsi" in only(graphics.mesa, host, Verdict.LIMITED).text
    assert only(graphics.mesa, host, Verdict.OK).text.startswith("Mesa 26.1.3, 2 OpenGL drivers")
    assert graphics.mesa_version(host) == (26, 1, 3)


@pytest.mark.parametrize(
    ("version", "kvm", "verdict"),
    [
        ("QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg)", True, Verdict.BROKEN),
        ("QEMU emulator version 7.2.9 (Debian)", False, Verdict.BROKEN),
        ("QEMU emulator version 7.2.9 (Debian)", True, Verdict.OK),
        ("QEMU emulator version 10.0.2", False, Verdict.OK),
        ("cannot execute", True, Verdict.BROKEN),
    ],
)
def test_the_version_of_qemu(host: MadeUp, version: str, kvm: bool, verdict: Verdict) -> None:
    host.programs = {"qemu-system-x86_64": version}
    if kvm:
        host.add("/dev/kvm")
    (finding,) = found(emulator.qemu, host)
    assert finding.verdict == verdict


def test_a_qemu_that_is_not_there(host: MadeUp) -> None:
    (line,) = only(emulator.qemu, host, Verdict.LIMITED).remedy
    assert line == "sudo apt install qemu-system-x86"
    assert found(emulator.devices, host) == found(emulator.displays, host) == []
    host.program = "my-qemu"
    assert "my-qemu" in only(emulator.qemu, host, Verdict.BROKEN).text


def test_which_displays_work(host: MadeUp) -> None:
    listed = "Available display backend types:\nnone\ngtk\negl-headless\ndbus\n"
    host.programs = {"qemu-system-x86_64": listed}

    def works() -> str:
        return found(emulator.displays, host)[0].text

    assert works() == "these work: -display none"
    without = [one.text for one in found(emulator.displays, host) if one.verdict == Verdict.LIMITED]
    assert without == [
        "-display gtk,gl=on: without a GPU this needs Mesa 26",
        "-display dbus,gl=on, -display egl-headless: this needs a render node",
    ]
    host.add("/usr/lib64/libgallium-26.0.0.so")
    assert works().endswith("-display gtk,gl=on")
    host.add_node("amdgpu")
    assert "-display dbus,gl=on, -display egl-headless" in works()
    assert "sdl" not in works()


def test_which_program_libvirt_takes(host: MadeUp) -> None:
    assert "not installed" in only(service.libvirt, host, Verdict.OK).text
    host.programs = {"virtqemud": ""}
    assert "no descriptor" in only(service.libvirt, host, Verdict.LIMITED).text
    peer = {"type": "gpu", "binary": "/usr/lib/qemu/vhost-user-gpu"}
    host.add("/usr/share/qemu/vhost-user/50-qemu-gpu.json", json.dumps(peer))
    ours = {"type": "gpu", "binary": "/usr/bin/vgpud"}
    host.add("/usr/share/qemu/vhost-user/60-vgpud-gpu.json", json.dumps(ours))
    finding = only(service.libvirt, host, Verdict.LIMITED)
    assert "libvirt starts /usr/lib/qemu/vhost-user-gpu" in finding.text
    assert finding.remedy[0].startswith("sudo vgpuctl setup")
    # An empty file hides the one of its name.
    host.add("/etc/qemu/vhost-user/50-qemu-gpu.json", "")
    assert "no such program" in only(service.libvirt, host, Verdict.BROKEN).text
    host.add("/usr/bin/vgpud")
    host.path("/usr/bin/vgpud").chmod(0o755)
    assert only(service.libvirt, host, Verdict.OK)


def test_apparmor_and_selinux(host: MadeUp) -> None:
    assert only(service.apparmor, host, Verdict.OK).text == "AppArmor is off"
    host.add("/sys/module/apparmor/parameters/enabled", "Y\n")
    assert "no profile" in only(service.apparmor, host, Verdict.OK).text
    host.add("/etc/apparmor.d/abstractions/libvirt-qemu")
    host.add("/etc/apparmor.d/local/abstractions/libvirt-qemu", "# /usr/bin/vgpud\n")
    (line,) = only(service.apparmor, host, Verdict.LIMITED).remedy
    assert line.startswith("echo '/usr/bin/vgpud PUx,' | sudo tee -a ")
    host.add("/etc/apparmor.d/local/abstractions/libvirt-qemu", "/usr/bin/vgpud PUx,\n")
    assert only(service.apparmor, host, Verdict.OK)
    assert found(service.selinux, host) == []
    host.add("/sys/fs/selinux/enforce", "1")
    assert only(service.selinux, host, Verdict.LIMITED)


LOADED = "LoadState=loaded\nActiveState=active\n"


def properties(host: MadeUp, text: str) -> list[Finding]:
    host.path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
    host.programs = {"systemctl": text}
    return found(unit.unit, host)


def test_the_unit_s_sandbox(host: MadeUp) -> None:
    assert found(unit.unit, host)[0].text == "systemd does not run here"
    assert properties(host, "LoadState=not-found\n")[0].text == "vgpud.service is not installed"
    fine = properties(host, LOADED + "SystemCallFilter=read mincore\nDevicePolicy=closed\n")
    assert {one.verdict for one in fine} == {Verdict.OK}
    assert fine[-1].remedy == ("sudo vgpuctl doctor",)
    (failed, *_) = properties(host, "LoadState=loaded\nActiveState=failed\nExecMainStatus=69\n")
    assert (failed.verdict, failed.text) == (
        Verdict.BROKEN,
        "vgpud.service has failed: its renderer could not start",
    )
    assert (
        "MemoryDenyWriteExecute"
        in properties(host, LOADED + "MemoryDenyWriteExecute=yes\n")[1].text
    )
    assert "mincore" in properties(host, LOADED + "SystemCallFilter=read write\n")[1].text


def test_the_unit_and_devices(host: MadeUp) -> None:
    host.add_node("nvidia")
    host.file_groups["/dev/dri/renderD128"] = "render"
    groups = "SupplementaryGroups=render\n"
    allowed = "DevicePolicy=closed\nDeviceAllow=char-rtc r\nDeviceAllow=char-drm rw\n"

    def says(text: str) -> str:
        return "\n".join(
            one.text for one in properties(host, LOADED + text) if one.verdict == Verdict.LIMITED
        )

    assert "NVIDIA's own devices" in says(allowed + groups)
    assert "does not have the group render" in says(allowed)
    assert "use render nodes" in says("DevicePolicy=closed\n" + groups)
    assert "use render nodes" in says("PrivateDevices=yes\n" + groups)
    assert says(allowed + "DeviceAllow=char-nvidia* rw\n" + groups) == ""


# --- machines


def machine(**fields: Any) -> dict[str, Any]:
    driver = {"offered": 0b10011, "accepted": 1 << 32 | 0b10011, "capsets": [2], "contexts": 3}
    return {
        "name": "1, process 2", "answers": True, "given_up": False, "restarts": 0, "last_reason": None,
        "renderer": f"virglrenderer ({RADEON})", "contexts": [1], "driver": driver | fields.pop("driver", {}),
    } | fields  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "verdict", "words"),
    [
        ({"answers": False}, Verdict.BROKEN, "does not answer"),
        (
            {"given_up": True, "restarts": 8, "last_reason": "ended with SIGSEGV"},
            Verdict.BROKEN,
            "given up after 8 restarts: ended with SIGSEGV",
        ),
        ({"renderer": None}, Verdict.LIMITED, "has not started"),
        ({"driver": {"accepted": 0}}, Verdict.LIMITED, "no driver has accepted"),
        ({"driver": {"offered": 2}}, Verdict.LIMITED, "mode 2d offers no OpenGL"),
        ({"driver": {"accepted": 1 << 32}}, Verdict.LIMITED, "offered but not accepted"),
        (
            {"driver": {"capsets": [], "contexts": 0}},
            Verdict.LIMITED,
            "no program has asked for it",
        ),
        ({"driver": {"contexts": 0}}, Verdict.LIMITED, "(virgl2) but made no context"),
        ({"restarts": 1, "last_reason": "ended with SIGABRT"}, Verdict.LIMITED, "have lost OpenGL"),
        (
            {"renderer": f"virglrenderer ({LLVMPIPE})"},
            Verdict.LIMITED,
            "but with the processor",
        ),
        (
            {},
            Verdict.OK,
            "this host draws the guest's programs: 3 contexts made (virgl2), 1 there now",
        ),
    ],
)
def test_why_a_guest_draws_in_software(
    fields: dict[str, Any], verdict: Verdict, words: str
) -> None:
    finding = examined(Path("/run/vgpud/vgpud.sock"), {"mode": "2d"}, machine(**fields))
    assert finding.verdict == verdict
    assert finding.text.startswith("machine 1, process 2: ")
    assert words in finding.text
    assert bool(finding.remedy) == (verdict != Verdict.OK)


def test_what_a_guest_calls_itself_does_nothing_to_a_terminal() -> None:
    finding = examined(Path("/x"), {"mode": "2d"}, machine(renderer="GL\x1b[2J"))
    assert finding.text.isprintable()


# --- all of them


def test_on_a_host_with_nothing_every_check_says_something_and_none_fails(host: MadeUp) -> None:
    results = examine(host)
    assert {result.check for result in results} >= CHECKS.keys() - {
        "gpu",
        "vulkan",
        "gfxstream",
        "devices",
        "displays",
        "selinux",
    }
    assert not [result for result in results if "this check has failed" in result.finding.text]


def test_a_check_that_hangs_or_fails_costs_only_itself(host: MadeUp) -> None:
    never = threading.Event()

    def hangs(host: Host) -> list[Finding]:
        never.wait(60)
        return []

    def fails(host: Host) -> list[Finding]:
        raise ZeroDivisionError("x")

    checks: dict[str, Check] = {"hangs": hangs, "fails": fails, "good": lambda host: [ok("good")]}
    began = time.monotonic()
    results = {result.check: result.finding for result in examine(host, None, checks, 0.5)}
    assert time.monotonic() - began < 10
    never.set()
    assert "has not ended within 0.5 s" in results["hangs"].text
    assert "has failed: ZeroDivisionError: x" in results["fails"].text
    assert results["good"] == ok("good")


def test_a_program_that_hangs_is_ended(host: MadeUp) -> None:
    began = time.monotonic()
    assert Host().run("sleep", "60", seconds=0.2) is None
    assert Host().run("/no/such/program") is None
    assert time.monotonic() - began < 10


RESULTS = [
    Result("one", ok("fine")),
    Result("two", limited("a sentence " * 20, "sudo do " + "something " * 20)),
]


def test_text_is_for_people_and_lines_to_run_are_whole() -> None:
    lines = text([*RESULTS, Result("three", broken("no"))]).splitlines()
    assert lines[0] == "ok       one: fine"
    assert f"           {RESULTS[1].finding.remedy[0]}" in lines
    assert all(len(line) <= COLUMNS for line in lines if "sudo" not in line)
    assert lines[-2] == "BROKEN   three: no"
    assert lines[-1].endswith(": 1 in order, 1 limited, 1 broken")


def test_json_is_for_programs() -> None:
    said = as_json(RESULTS)
    assert said["verdict"] == "limited"
    assert said["checks"][0] == {"check": "one", "verdict": "ok", "text": "fine", "remedy": []}
    assert worst([*RESULTS, Result("three", broken("no"))]) == Verdict.BROKEN
    assert worst([]) == Verdict.OK


# --- the program


def doctor(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "vgpud.ctl", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def checks_of(done: "subprocess.CompletedProcess[str]") -> Callable[[str], list[dict[str, Any]]]:
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert (done.returncode == 1) == (said["verdict"] == "broken")
    assert not [one for one in said["checks"] if "this check has" in one["text"]]
    return lambda name: [one for one in said["checks"] if one["check"] == name]


def test_this_host_is_examined_without_a_daemon_and_with_one() -> None:
    of = checks_of(doctor("--json"))
    assert of("kernel")[0]["text"] == f"Linux {os.uname().release}"
    assert of("virglrenderer")
    with daemon() as backend, Machine(backend.socket_path) as running:
        running.guest.create_2d(8, 8)
        assert wait_until(lambda: status(backend.socket_path)["machines"][0]["renderer"])
        name = status(backend.socket_path)["machines"][0]["name"]
        of = checks_of(doctor("--json", "--machine", name))
        assert f"a daemon answers at {backend.socket_path}: " in str(of("sockets"))
        [examined] = of("machine")
        assert "mode 2d offers no OpenGL" in examined["text"]


@pytest.mark.skipif(bool(opengl_unavailable()), reason=opengl_unavailable())
def test_a_driver_on_its_way_to_opengl_is_followed() -> None:
    features = {"wanted_features": QEMU_FEATURES | Feature.VIRGL}
    with daemon("--gpu-mode", "virglrenderer") as backend:
        with Machine(backend.socket_path) as without:
            without.guest.create_2d(8, 8)
            assert "offered but not accepted" in said_of_the_machine(backend)
        assert wait_until(lambda: not status(backend.socket_path)["machines"])
        with Machine(backend.socket_path, frontend=features) as running:
            running.guest.create_2d(8, 8)
            assert "no program has asked for it" in said_of_the_machine(backend)
            for _ in range(2):
                running.guest.do(commands.get_capset(2, 2), 2048)
            assert "(virgl2) but made no context" in said_of_the_machine(backend)
            running.guest.do(commands_3d.ctx_create(1))
            drawn = "this host draws the guest's programs"
            assert wait_until(lambda: drawn in said_of_the_machine(backend))
            assert "1 context made (virgl2), 1 there now" in said_of_the_machine(backend)
            (device,) = devices(backend.process.pid)
            os.kill(device, signal.SIGKILL)
            running.guest.create_2d(8, 8)
            assert wait_until(lambda: "have lost OpenGL" in said_of_the_machine(backend), 20)
            # A guest that starts again has asked for nothing yet.
            running.reboot()
            assert wait_until(
                lambda: status(backend.socket_path)["machines"][0]["driver"]["capsets"] == []
            )


def said_of_the_machine(backend: Backend) -> str:
    """As the doctor does, of this daemon alone."""
    told = status(backend.socket_path)
    (machine,) = told["machines"]
    return examined(backend.socket_path, told, machine).text


def test_a_machine_or_a_qemu_that_is_not_there_fails() -> None:
    done = doctor("--machine", "nobody", "--qemu", "no-such-qemu")
    assert done.returncode == 1
    assert "BROKEN   machine: there is no machine nobody" in done.stdout
    assert "BROKEN   qemu: there is no program no-such-qemu" in done.stdout
