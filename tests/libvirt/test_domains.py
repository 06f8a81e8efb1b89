# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Domains with vgpud for their GPU, as libvirt runs them: started, looked at, rebooted, ended."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from ..e2e.screens import assert_console_is_readable, write_text
from .hypervisor import USER, Domain, Hypervisor, VirshError

# What busybox's acpid does when the power button is pressed, as `virsh shutdown` and `virsh reboot` do.
POWER_BUTTON = (
    "mkdir -p /etc/acpi/PWRF && echo 'poweroff -f' >/etc/acpi/PWRF/00000080 && "
    "chmod +x /etc/acpi/PWRF/00000080 && acpid"
)
# It promises a render node on any machine.
QEMUS_DESCRIPTOR = "usr/share/qemu/vhost-user/50-qemu-gpu.json"
UNSATISFIED = "Unable to find a satisfying vhost-user-gpu"


@pytest.fixture(scope="module")
def domains(hypervisor: Hypervisor) -> Iterator[list[Domain]]:
    """Two that run at once: one draws in 2D, the other one with OpenGL."""
    with hypervisor.create("plain") as plain, hypervisor.create("gl", accel3d="yes") as accelerated:
        for domain in (plain, accelerated):
            domain.wait_ready()
        yield [plain, accelerated]


@pytest.fixture
def plain(domains: list[Domain]) -> Domain:
    return domains[0]


@pytest.fixture
def accelerated(domains: list[Domain]) -> Domain:
    return domains[1]


def assert_shows_text(domain: Domain, title: str) -> None:
    write_text(domain, title)
    picture = assert_console_is_readable(domain)
    assert (picture.width, picture.height) == (1280, 800)


def test_each_of_two_domains_shows_its_own_console(domains: list[Domain]) -> None:
    for domain in domains:
        write_text(domain, f"this is {domain.name}")
    first, second = map(assert_console_is_readable, domains)
    assert first != second


def test_libvirt_s_command_line_is_one_descriptor_and_the_wish_for_opengl(
    plain: Domain, accelerated: Domain
) -> None:
    assert re.fullmatch(r"--fd=\d+", " ".join(plain.arguments))
    assert re.fullmatch(r"--fd=\d+ --virgl", " ".join(accelerated.arguments))
    assert plain.vgpud != accelerated.vgpud


def test_only_the_accelerated_guest_is_offered_opengl(plain: Domain, accelerated: Domain) -> None:
    assert "-virgl" in plain.guest.run("dmesg | grep '\\[drm\\] features'")
    assert "+virgl" in accelerated.guest.run("dmesg | grep '\\[drm\\] features'")


def test_vgpud_is_qemu_s_user_and_its_device_process_confined(
    hypervisor: Hypervisor, domains: list[Domain]
) -> None:
    (number,) = re.findall(
        rf"^{USER}:x:(\d+):", hypervisor.path("/etc/passwd").read_text(), re.MULTILINE
    )
    for domain in domains:
        assert len(domain.processes()) == 4
        for process in domain.processes():
            status = hypervisor.status(process)
            assert set(status["Uid"].split()) == {number}
            assert int(status["CapEff"], 16) == 0
        status = hypervisor.status(domain.device_process())
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_a_device_process_that_dies_is_replaced(domains: list[Domain]) -> None:
    for domain in domains:
        assert domain.kill_device_process()
        assert_shows_text(domain, "another device process")


def test_a_reset_brings_the_screen_back(plain: Domain) -> None:
    plain.virsh("reset")
    plain.wait_ready()
    assert_shows_text(plain, "after a reset")


def test_a_guest_that_reboots_itself_has_its_screen_again(accelerated: Domain) -> None:
    accelerated.guest.send("reboot -f")
    accelerated.wait_ready()
    assert_shows_text(accelerated, "rebooted")


def test_virsh_reboot_keeps_vgpud(hypervisor: Hypervisor, plain: Domain) -> None:
    plain.guest.run(POWER_BUTTON)
    plain.virsh("reboot")
    plain.wait_ready()
    assert plain.vgpud in hypervisor.processes()
    assert_shows_text(plain, "after virsh reboot")


def test_a_destroyed_domain_takes_its_vgpud_along_and_no_other_one(
    hypervisor: Hypervisor, plain: Domain, accelerated: Domain
) -> None:
    accelerated.virsh("destroy")
    assert accelerated.gone()
    assert set(hypervisor.processes()) == plain.processes()
    assert hypervisor.pid_files() == [plain.pid_file]
    assert_shows_text(plain, "alone")


def test_a_domain_that_is_shut_down_leaves_nothing(hypervisor: Hypervisor, plain: Domain) -> None:
    plain.guest.run(POWER_BUTTON)
    plain.virsh("shutdown")
    assert plain.gone()
    assert hypervisor.processes() == {}
    assert hypervisor.pid_files() == []


def test_a_killed_qemu_leaves_nothing(hypervisor: Hypervisor) -> None:
    with hypervisor.create("killed") as domain:
        domain.kill_qemu()
        assert domain.gone()
    assert hypervisor.processes() == {}


def test_what_libvirt_throws_away_is_in_the_journal(hypervisor: Hypervisor) -> None:
    with hypervisor.journal() as journal:
        with hypervisor.create("logged") as domain:
            domain.virsh("destroy")
            assert domain.gone()
        assert "connected" in logged(journal)
        configuration = hypervisor.path("/etc/vgpud/vgpud.toml")
        configuration.write_text("[log]\nlevel = 'loud'\n")
        try:
            with pytest.raises(VirshError):
                hypervisor.create("mistaken")
        finally:
            configuration.unlink()
        assert "/etc/vgpud/vgpud.toml: log.level" in logged(journal)


def logged(journal: socket.socket) -> str:
    """All that the next one who connects says."""
    end, _ = journal.accept()
    with end, end.makefile() as stream:
        return stream.read()


def test_opengl_is_refused_where_the_library_is_missing(hypervisor: Hypervisor) -> None:
    with (
        hypervisor.hidden(QEMUS_DESCRIPTOR),
        hypervisor.hidden("usr/lib/*/libvirglrenderer.so.1"),
        pytest.raises(VirshError, match=UNSATISFIED),
    ):
        hypervisor.create("refused", accel3d="yes")
    assert hypervisor.domains() == []


def test_a_render_node_is_refused_where_there_is_none(hypervisor: Hypervisor) -> None:
    with hypervisor.hidden(QEMUS_DESCRIPTOR), pytest.raises(VirshError, match=UNSATISFIED):
        hypervisor.create("refused", accel3d="yes", rendernode="/dev/dri/renderD128")
    assert hypervisor.domains() == []


def test_domains_are_called_by_their_names_and_looked_at_by_them(hypervisor: Hypervisor) -> None:
    with hypervisor.own_file("named", "[limits]\nresources = 77\n"):
        for _ in range(2):
            with hypervisor.create("named") as domain:
                domain.wait_ready()
                write_text(domain, "looked at")
                status = hypervisor.vgpud_status("named")
                (machine,) = status["machines"]
                assert status["socket"] == "/run/vgpud/machines/named"
                assert (machine["name"], machine["lasting_name"]) == ("named", "named")
                assert machine["limits"]["resources"]["limit"] == 77
                assert machine["scanouts"]
                domain.virsh("destroy")
                assert domain.gone()
            assert list(hypervisor.path("/run/vgpud/machines").iterdir()) == []
