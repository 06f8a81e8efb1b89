# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the log looks like to people, to the journal and to programs, and what a guest can do to it."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from vgpud.config.schema import Log
from vgpud.daemon import logs

from ..driver import commands
from ..driver.backend import Backend, Machine
from ..driver.commands import Rectangle
from .running import COMMAND, daemon, devices, wait_until

NOWHERE = 99  # a resource that does not exist


@pytest.fixture
def restored() -> Iterator[None]:
    yield
    logs.name_instance(None)
    logger.remove()
    logger.configure(extra={})


def entries(backend: Backend) -> list[dict[str, Any]]:
    return [json.loads(line) for line in backend.log.splitlines()]


def test_as_json_each_line_is_an_object_that_names_instance_and_machine() -> None:
    with daemon("--log-format", "json", "--instance", "blue") as backend:
        with Machine(backend.socket_path) as machine:
            machine.guest.ask(commands.resource_unref(NOWHERE))
            assert wait_until(lambda: "guest: " in backend.log)
        assert wait_until(lambda: '"gone"' in backend.log)
        found = entries(backend)
        [started] = [one for one in found if "device_process" in one["extra"]]
    fields = {"time", "level", "instance", "machine", "module", "message", "extra"}
    assert all(set(one) == fields and one["instance"] == "blue" for one in found)
    assert all(
        re.fullmatch(r"[-\d]{10}T[:\d]{8}\.\d{3}[-+]\d\d:\d\d", one["time"]) for one in found
    )
    names = {one["machine"] for one in found if one["message"] in ("connected", "gone")}
    # Until its session has said what it is called.
    assert names - {f"1, process {os.getpid()}"} == {"blue"}
    assert started["extra"]["renderer"] == "2D in software"
    [mistake] = [one for one in found if one["message"].startswith("guest: ")]
    assert (mistake["level"], mistake["module"]) == ("warning", "vgpud.device")
    assert mistake["machine"] == "blue"


@pytest.mark.parametrize(
    ("request_bytes", "text"),
    [
        # One that is carried out in Python, and two that are not.
        (
            commands.resource_unref(NOWHERE),
            "unref: there is no such resource: virtio_gpu_resource_unref(resource_id=99",
        ),
        (
            commands.resource_flush(NOWHERE, Rectangle(0, 0, 1, 1)),
            "RESOURCE_FLUSH (0x0104) is refused: INVALID_RESOURCE_ID",
        ),
        (
            commands.transfer_to_host_2d(NOWHERE, Rectangle(0, 0, 1, 1)),
            "TRANSFER_TO_HOST_2D (0x0105) is refused: INVALID_RESOURCE_ID",
        ),
    ],
    ids=["unref", "flush", "transfer"],
)
def test_a_guest_s_mistakes_are_a_line_each_but_not_without_end(
    request_bytes: bytes, text: str
) -> None:
    with daemon() as backend, Machine(backend.socket_path) as machine:
        for _ in range(3):
            machine.guest.ask(request_bytes)
        assert wait_until(lambda: backend.log.count(text) == 3)
        for _ in range(1000):
            machine.guest.ask(request_bytes)
        machine.guest.display_info()
        assert f"process {os.getpid()}: guest: {text}" in backend.log
        assert 10 <= backend.log.count(text) <= 30


def test_what_a_device_process_writes_is_logged_for_its_machine() -> None:
    # The interpreter has a word to say when it crashes.
    backend = Backend(
        lambda path: [*COMMAND, "--socket-path", str(path), "--log-format", "json"],
        environment={"PYTHONFAULTHANDLER": "1"},
    )
    with backend:
        with Machine(backend.socket_path) as machine:
            machine.guest.display_info()
            [crashing] = devices(backend.process.pid)
            os.kill(crashing, signal.SIGSEGV)
            assert wait_until(lambda: "Fatal Python error" in backend.log)
        assert wait_until(lambda: '"gone"' in backend.log)
        said = [one for one in entries(backend) if one["message"].startswith("Fatal Python error")]
    assert {one["module"] for one in said} == {"vgpud.device"}
    assert all(one["extra"]["device_process"] == crashing and one["machine"] for one in said)


def test_the_journal_gets_a_priority_on_each_line(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    pipe = os.fstat(writing)
    process = subprocess.Popen(
        [*COMMAND, "--socket-path", str(tmp_path / "vgpu.sock"), "--instance", "blue"],
        stderr=writing,
        env=os.environ | {"JOURNAL_STREAM": f"{pipe.st_dev}:{pipe.st_ino}"},
    )
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as lines:
        assert lines.readline().startswith("<6>blue: vgpud ")
        assert lines.readline().startswith("<4>blue: --instance blue: there is no blue.toml in ")
        assert lines.readline() == "<6>blue: waiting for front-ends\n"
        process.terminate()
        assert lines.readline() == "<6>blue: SIGTERM: the end\n"
    assert process.wait(5) == 0


@pytest.mark.parametrize(
    ("environment", "flags", "logged"),
    [
        ({"VGPUD_LOG": "error"}, [], False),
        ({"VGPUD_LOG": "error", "VGPUD_LOG_LEVEL": "info"}, [], True),
        ({"VGPUD_LOG": "error"}, ["--log-level", "info"], True),
    ],
)
def test_the_level_is_that_of_the_flag_or_the_environment(
    environment: dict[str, str], flags: list[str], logged: bool
) -> None:
    backend = Backend(
        lambda path: [*COMMAND, "--socket-path", str(path), *flags], environment=environment
    )
    with backend:
        with Machine(backend.socket_path):
            pass
        backend.process.terminate()
        assert backend.process.wait(5) == 0
        assert ("connected" in backend.log) == logged


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("form", ["text", "journal", "json"])
def test_a_traceback_has_its_lines_and_no_values(
    capfd: pytest.CaptureFixture[str], form: str
) -> None:
    logs.set_up(Log(format=form))
    secret = "of a guest"
    try:
        raise ValueError(len(secret))
    except ValueError:
        logger.exception("a mistake")
    text = capfd.readouterr().err
    assert "ValueError: 10" in text
    assert secret not in text.replace('secret = "of a guest"', "")
    if form == "journal":
        assert all(line.startswith("<3>") for line in text.splitlines())
    if form == "json":
        assert "Traceback" in json.loads(text)["exception"]


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("form", ["text", "journal", "json"])
def test_nobody_can_forge_a_line_or_play_with_a_terminal(
    capfd: pytest.CaptureFixture[str], form: str
) -> None:
    logs.name_instance("blue")
    logs.set_up(Log(format=form))
    logger.warning("guest: {}", "a\n<0>forged\x1b[2J\u202e {} \\<red>")
    text = capfd.readouterr().err
    assert len(text.splitlines()) == 1
    assert text.rstrip("\n").isprintable()
    assert "blue" in text
    shown = json.loads(text)["message"] if form == "json" else text
    assert r"{} \<red>" in shown
