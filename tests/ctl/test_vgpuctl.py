# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl`` against a daemon that serves machines."""

import io
import json
import os
import random
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from vgpud.control.protocol import VERSION, control_path

from ..daemon.running import answers, daemon, devices, status, wait_until
from ..driver import commands
from ..driver.backend import Backend, Machine
from ..driver.commands import Format, Rectangle, ResponseType

WIDTH, HEIGHT = 40, 24
COMMAND = [sys.executable, "-m", "vgpud.ctl"]


@pytest.fixture
def backend() -> Iterator[Backend]:
    with daemon() as running:
        assert wait_until(partial(answers, running.socket_path))
        yield running


@pytest.fixture(scope="module")
def lasting() -> Iterator[Backend]:
    """For questions that leave it as it was."""
    with daemon() as running:
        assert wait_until(partial(answers, running.socket_path))
        yield running


def vgpuctl(socket_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "vgpud.ctl", "--socket-path", str(socket_path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def ask(path: Path, line: bytes) -> dict[str, object]:
    """What the daemon answers to any bytes at all."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(control_path(path)))
        connection.sendall(line)
        answer: dict[str, object] = json.loads(connection.makefile().readline())
        return answer


def draw(machine: Machine, seed: int) -> bytes:
    guest = machine.guest
    resource = guest.create_2d(WIDTH, HEIGHT)
    pixels = random.Random(seed).randbytes(WIDTH * HEIGHT * 4)
    guest.draw(resource, resource.whole, pixels)
    guest.show(resource)
    return pixels


def test_status_shows_each_machine_on_one_screen(backend: Backend) -> None:
    with Machine(backend.socket_path) as one, Machine(backend.socket_path) as other:
        draw(one, 1)
        draw(other, 2)
        shown = vgpuctl(backend.socket_path, "status")
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout.count("\nmachine ") == 2
        assert f"{WIDTH}x{HEIGHT}+0+0 of resource" in shown.stdout
        assert all(str(device) in shown.stdout for device in devices(backend.process.pid))
    assert wait_until(lambda: "no machine" in vgpuctl(backend.socket_path, "status").stdout)


def test_status_as_json_has_the_counters(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        draw(machine, 1)
        status = json.loads(vgpuctl(backend.socket_path, "status", "--json").stdout)
        (report,) = status["machines"]
        assert report["counters"]["flushes"] == 1
        assert report["counters"]["transfer_bytes"] == WIDTH * HEIGHT * 4
        [resource] = report["resources"]
        # Pages of its one picture, and the image's own.
        assert resource.pop("bytes") in range(WIDTH * HEIGHT * 4, WIDTH * HEIGHT * 4 + 16 * 1024)
        assert resource == {
            "resource_id": 1,
            "kind": "2d",
            "format": 2,
            "width": WIDTH,
            "height": HEIGHT,
        }
        assert report["display"] is True


def test_status_tells_the_rates_that_it_sees(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        draw(machine, 1)
        resource = machine.guest.create_2d(WIDTH, HEIGHT)
        ended = threading.Event()

        def work() -> None:
            while not ended.wait(0.01):
                machine.guest.transfer(resource)
                machine.guest.flush(resource)

        working = threading.Thread(target=work)
        working.start()
        status = json.loads(vgpuctl(backend.socket_path, "status", "--json").stdout)
        ended.set()
        working.join()
    rates = status["machines"][0]["rates"]
    assert 5 < rates["frames"] <= 100
    assert rates["transfer_bytes"] == pytest.approx(rates["frames"] * WIDTH * HEIGHT * 4, rel=0.2)
    assert rates["commands"] == pytest.approx(rates["frames"] * 2, rel=0.2)


def test_status_counts_what_displays_are_given(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        assert machine.display.wait_for_picture(0, draw(machine, 1))

        def presented() -> dict[str, int]:
            status = json.loads(vgpuctl(backend.socket_path, "status", "--json").stdout)
            numbers: dict[str, int] = status["machines"][0]["presented"]
            return numbers

        assert presented()["updates"] == 1
        assert WIDTH * HEIGHT * 4 < presented()["bytes"] < WIDTH * HEIGHT * 4 + 1000


def test_a_request_that_waits_is_in_flight(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        # QEMU's window does not answer, and so the guest is not either.
        machine.display.answers = False
        machine.guest.submit(commands.get_edid(0, fence_id=7), commands.EDID_SIZE)
        machine.guest.submit(commands.get_edid(0), commands.EDID_SIZE)
        report = json.loads(vgpuctl(backend.socket_path, "status", "--json").stdout)["machines"][0]
        assert report["queues"]["control"] == {"size": 64, "in_flight": 2, "fences_in_flight": 1}
        assert report["queues"]["cursor"] == {"size": 16, "in_flight": 0, "fences_in_flight": 0}
        shown = vgpuctl(backend.socket_path, "status").stdout
        assert "control 2/64 in flight, 1 with a fence; cursor 0/16 in flight" in shown


def test_a_machine_may_be_named_by_its_number(backend: Backend, tmp_path: Path) -> None:
    with Machine(backend.socket_path) as one, Machine(backend.socket_path) as other:
        draw(one, 1)
        pixels = draw(other, 2)
        file = tmp_path / "screen.png"
        assert not vgpuctl(
            backend.socket_path, "screenshot", "--machine", "2", str(file)
        ).returncode
        expected = Image.frombytes("RGB", (WIDTH, HEIGHT), pixels, "raw", "BGRX")
        assert Image.open(file).tobytes() == expected.tobytes()


def test_a_screenshot_is_what_the_scanout_shows(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "screen.png"
    with Machine(backend.socket_path) as machine:
        pixels = draw(machine, 3)
        done = vgpuctl(backend.socket_path, "screenshot", str(file))
        assert done.returncode == 0, done.stderr
        expected = Image.frombytes("RGB", (WIDTH, HEIGHT), pixels, "raw", "BGRX")
        assert Image.open(file).tobytes() == expected.tobytes()


def test_a_screenshot_of_a_part_of_a_resource_is_that_part(
    backend: Backend, tmp_path: Path
) -> None:
    file = tmp_path / "screen.png"
    part = Rectangle(8, 4, 16, 12)
    with Machine(backend.socket_path) as machine:
        guest = machine.guest
        resource = guest.create_2d(WIDTH, HEIGHT)
        pixels = random.Random(4).randbytes(WIDTH * HEIGHT * 4)
        guest.draw(resource, resource.whole, pixels)
        guest.transfer(resource)
        guest.set_scanout(3, resource, part)
        assert vgpuctl(backend.socket_path, "screenshot", "--scanout", "3", str(file)).stderr == ""
    expected = Image.frombytes("RGB", (WIDTH, HEIGHT), pixels, "raw", "BGRX").crop((8, 4, 24, 16))
    assert Image.open(file).tobytes() == expected.tobytes()


def test_a_screenshot_goes_to_standard_output_when_asked(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        pixels = draw(machine, 3)
        done = subprocess.run(
            [*COMMAND, "--socket-path", str(backend.socket_path), "screenshot", "-"],
            capture_output=True,
            timeout=20,
            check=True,
        )
    assert done.stderr == b""
    expected = Image.frombytes("RGB", (WIDTH, HEIGHT), pixels, "raw", "BGRX")
    assert Image.open(io.BytesIO(done.stdout)).tobytes() == expected.tobytes()


def test_a_picture_that_is_no_png_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    done = vgpuctl(tmp_path / "nobody", "screenshot", "screen.jpg")
    assert done.returncode == 2
    assert "the picture is a PNG: give screen.png, or - for standard output" in done.stderr


def test_a_bad_place_for_a_picture_is_one_line(backend: Backend, tmp_path: Path) -> None:
    with Machine(backend.socket_path) as machine:
        draw(machine, 3)
        file = tmp_path / "missing/screen.png"
        done = vgpuctl(backend.socket_path, "screenshot", str(file))
        assert (done.returncode, done.stderr) == (
            1,
            f"vgpuctl: {file}: No such file or directory\n",
        )


@pytest.mark.parametrize("arguments", [("status", "--watch"), ("top", "--interval")])
@pytest.mark.parametrize("seconds", ["x", "0", "-1", "nan", "inf", "1e9"])
def test_a_number_of_seconds_that_is_none_is_named(
    tmp_path: Path, arguments: tuple[str, ...], seconds: str
) -> None:
    done = vgpuctl(tmp_path / "nobody", arguments[0], f"{arguments[1]}={seconds}")
    assert done.returncode == 2
    assert f"0.1 to 3600 seconds, not {seconds}" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("status", "--json"), ("top", "--interval=0.1"), ("metrics",), ("list",)],
)
def test_who_stops_reading_hears_no_complaint(lasting: Backend, arguments: tuple[str, ...]) -> None:
    with Machine(lasting.socket_path) as machine:
        draw(machine, 1)
        command = [*COMMAND, "--socket-path", str(lasting.socket_path), *arguments]
        reader, writer = os.pipe()
        os.close(reader)
        try:
            done = subprocess.run(
                command, stdout=writer, stderr=subprocess.PIPE, timeout=20, check=False
            )
        finally:
            os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_what_cannot_be_written_is_one_line(backend: Backend) -> None:
    command = [*COMMAND, "--socket-path", str(backend.socket_path), "metrics"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (1, b"vgpuctl: No space left on device\n")


def test_top_goes_on_in_a_pipe_and_ends_when_it_was_told_to(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        draw(machine, 1)
        done = vgpuctl(backend.socket_path, "top", "--interval=0.1", "--count=3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("session  device") == 3
    assert done.stdout.count("1, process") == 3
    assert "\x1b" not in done.stdout


def test_status_tells_what_processes_use_and_how_far_the_driver_has_come(
    backend: Backend,
) -> None:
    with Machine(backend.socket_path) as machine:
        draw(machine, 1)
        [report] = status(backend.socket_path)["machines"]
        assert report["processes"]["session"]["pid"] == report["session_process"]
        assert report["processes"]["device"]["pid"] == report["device_process"]
        assert all(0 < one["memory_bytes"] < 256 << 20 for one in report["processes"].values())
        assert (report["last_reason"], report["given_up"]) == (None, False)
        offered, accepted = report["driver"]["offered"], report["driver"]["accepted"]
        # In 2D there is no VIRTIO_GPU_F_VIRGL.
        assert offered & 1 == accepted & 1 == 0
        assert accepted & 1 << 32
        assert (report["driver"]["capsets"], report["driver"]["contexts"]) == ([], 0)


def test_why_there_was_a_restart_is_told(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        draw(machine, 1)
        (device,) = devices(backend.process.pid)
        os.kill(device, signal.SIGABRT)

        def reason() -> object:
            return status(backend.socket_path)["machines"][0]["last_reason"]

        assert wait_until(lambda: reason() == "ended with SIGABRT")
        assert wait_until(lambda: "  1 restart: ended with SIGABRT" in shown_by_top(backend))


def shown_by_top(backend: Backend) -> str:
    return vgpuctl(backend.socket_path, "top", "--interval=0.1", "--count=1").stdout


def test_commands_that_a_limit_was_in_the_way_of_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "vgpud.toml"
    file.write_text("[limits]\nresources = 2\n")
    with daemon("--config", str(file)) as backend, Machine(backend.socket_path) as machine:
        for number in (1, 2, 3, 4):
            answer = machine.guest.ask(
                commands.resource_create_2d(number, Format.B8G8R8X8_UNORM, 8, 8)
            ).type
            assert (answer == ResponseType.ERR_OUT_OF_MEMORY) == (number > 2)
        [report] = status(backend.socket_path)["machines"]
        assert report["counters"]["out_of_memory"] == report["counters"]["errors"] == 2


def test_a_screenshot_of_nothing_is_an_error(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "screen.png"
    nobody = vgpuctl(backend.socket_path, "screenshot", str(file))
    assert (nobody.returncode, nobody.stderr) == (1, "vgpuctl: there is no machine\n")
    with Machine(backend.socket_path):
        nothing = vgpuctl(backend.socket_path, "screenshot", "--scanout", "2", str(file))
        assert (nothing.returncode, nothing.stderr) == (1, "vgpuctl: scanout 2 shows nothing\n")
    assert not file.exists()


def test_metrics_are_in_prometheus_text_format(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine:
        draw(machine, 1)
        text = vgpuctl(backend.socket_path, "metrics").stdout
    assert "# TYPE vgpud_flushes_total counter" in text
    assert any(line.startswith("vgpud_flushes_total{instance=") for line in text.splitlines())
    assert f'vgpud_machines{{instance="{backend.socket_path}"}} 1.0' in text


def metrics_of_limits(path: Path) -> dict[tuple[str, str, str], float]:
    """By the name of the metric, of the limit, and of the machine."""
    families = text_string_to_metric_families(vgpuctl(path, "metrics").stdout)
    return {
        (sample.name, sample.labels["limit"], sample.labels["machine"]): sample.value
        for family in families
        for sample in family.samples
        if family.name in ("vgpud_limit", "vgpud_limit_used")
    }


def test_what_is_used_of_each_limit_is_in_status_and_metrics(backend: Backend) -> None:
    with Machine(backend.socket_path) as machine, Machine(backend.socket_path):
        picture = machine.guest.create_2d(WIDTH, HEIGHT)
        machine.guest.show(picture)
        machine.guest.create_2d(WIDTH, HEIGHT, backed=False)
        entries = len(picture.entries)
        slot = 4096 * -(-WIDTH * HEIGHT * 4 // 4096)
        status = json.loads(vgpuctl(backend.socket_path, "status", "--json").stdout)
        metrics = metrics_of_limits(backend.socket_path)
    first, second = status["machines"]
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)[::-1]
    assert first["limits"] == {
        "guest_memory": {"used": 64 << 20, "limit": 1 << 40},
        # Of the one that is shown every slot may be written.
        "image_memory": {"used": 2 * 4096 + 5 * slot, "limit": 1 << 30},
        "images": {"used": 2, "limit": first["limits"]["images"]["limit"]},
        "resources": {"used": 2, "limit": 8192},
        "contexts": {"used": 0, "limit": 64},
        "backing_entries": {"used": entries, "limit": 1 << 20},
        "blob_memory": {"used": 0, "limit": 4 << 30},
        "vulkan_memory": {"used": 0, "limit": 0},
        "hostmem": {"used": 0, "limit": 0},
        "memory_slots": {"used": 1, "limit": 509},
    }
    assert 0 < first["limits"]["images"]["limit"] < descriptors
    assert {use["used"] for use in second["limits"].values()} == {0, 1, 64 << 20}
    assert status["limits"].pop("descriptors")["limit"] == descriptors
    assert status["limits"] == {
        "machines": {"used": 2, "limit": 500},
        "connections_of_user": {"used": 2, "limit": 500},
        "silent_connections": {"used": 0, "limit": 64},
    }
    assert (status["log_lines_left_out"], first["log_lines_left_out"]) == (0, 0)
    for owner, limits in (
        ("", status["limits"]),
        ("1", first["limits"]),
        ("2", second["limits"]),
    ):
        for name, use in limits.items():
            assert metrics["vgpud_limit_used", name, owner] == use["used"]
            assert metrics["vgpud_limit", name, owner] == use["limit"]


def test_the_log_level_changes_at_run_time(backend: Backend) -> None:
    assert vgpuctl(backend.socket_path, "log-level", "error").returncode == 0
    assert "log level error" in vgpuctl(backend.socket_path, "status").stdout
    with Machine(backend.socket_path):
        pass
    assert vgpuctl(backend.socket_path, "log-level", "info").returncode == 0
    status = json.loads(vgpuctl(backend.socket_path, "status", "--json").stdout)
    assert status["log_level"] == "info"
    assert wait_until(lambda: b"the log level is info" in backend.log_path.read_bytes())
    assert b"connected" not in backend.log_path.read_bytes()


def test_no_daemon_is_one_line(tmp_path: Path) -> None:
    done = vgpuctl(tmp_path / "vgpu.sock", "status")
    assert done.returncode == 1
    path = tmp_path / "vgpu.sock"
    assert done.stderr == (
        f"vgpuctl: no vgpud answers at {path}; start it, or name its socket with -s\n"
    )


def test_the_control_socket_is_for_owner_and_group(backend: Backend) -> None:
    mode = control_path(backend.socket_path).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert mode & 0o007 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_stranger_who_gets_through_is_not_answered(backend: Backend) -> None:
    path = control_path(backend.socket_path)
    path.chmod(0o666)
    path.parent.chmod(0o755)
    code = (
        "import os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.makefile().readline())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert "not allowed" in done.stdout


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b"{}\n",
        b'{"version": 2, "command": "status"}\n',
        b'{"version": 1}\n',
        b'{"version": 1, "command": "dance"}\n',
        b'{"version": 1, "command": "status", "much": 1}\n',
        b'{"version": 1, "command": "screen", "scanout": {}}\n',
        b'{"version": 1, "command": "screen", "machine": []}\n',
        b'{"version": 1, "command": "log-level", "level": []}\n',
        b"[" * 4095 + b"\n",
        b"x" * 4096,
        b"\xff\xfe\n",
    ],
)
def test_a_bad_request_is_answered_with_an_error(lasting: Backend, line: bytes) -> None:
    with Machine(lasting.socket_path) as machine:
        answer = ask(lasting.socket_path, line)
        assert set(answer) == {"version", "error"}
        assert answer["version"] == VERSION
        draw(machine, 1)


def test_the_control_socket_goes_with_the_daemon(backend: Backend) -> None:
    backend.process.terminate()
    assert backend.process.wait(5) == 0
    assert not control_path(backend.socket_path).exists()
