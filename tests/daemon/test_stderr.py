# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A reader of the log that does not read does not stop the daemon."""

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from loguru import logger

from vgpud.config.schema import Log
from vgpud.control.client import Client
from vgpud.control.protocol import control_path
from vgpud.daemon import logs

from .running import COMMAND, answers, wait_until

Ends = tuple[int, int]  # what is read, what is written


def socket_pair() -> Ends:
    one, other = socket.socketpair()
    return one.detach(), other.detach()


def terminal() -> Ends:
    ends = pty.openpty()
    tty.setraw(ends[1])
    return ends


KINDS: dict[str, Callable[[], Ends]] = {
    "pipe": os.pipe,
    "socket": socket_pair,
    "terminal": terminal,
}


@contextmanager
def stderr(writing: int) -> Iterator[None]:
    """Standard error is this.  (Not in a fixture: what captures it changes it before each test.)"""
    before = os.dup(2)
    os.dup2(writing, 2)
    os.close(writing)
    try:
        yield
    finally:
        logger.remove()
        os.dup2(before, 2)
        os.close(before)


@contextmanager
def stderr_to(kind: str) -> Iterator[int]:
    """The other end is yielded."""
    reading, writing = KINDS[kind]()
    with stderr(writing):
        yield reading
    os.close(reading)


class Reader:
    """All that can be read, until ``text`` is there."""

    def __init__(self, reading: int) -> None:
        self._reading = reading
        self.text = ""

    def until(self, text: str) -> list[str]:
        while text not in self.text:
            self.text += os.read(self._reading, 1 << 16).decode()
        return self.text.splitlines()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("length", [20, 10_000])
@pytest.mark.parametrize("kind", list(KINDS))
def test_what_is_not_read_is_left_out_and_counted(kind: str, length: int) -> None:
    with stderr_to(kind) as reading:
        logs.set_up(Log(format="json"))
        for _ in range(5000):
            logger.info("x" * length)
        reader = Reader(reading)
        threading.Timer(0.2, logger.info, ["read again"]).start()
        *before, missing, again = reader.until('"read again"')
        assert not fcntl.fcntl(2, fcntl.F_GETFL) & os.O_NONBLOCK
    assert json.loads(missing)["level"] == "warning"
    assert '"read again"' in again
    # A terminal may take what it has later, and then there is room once more.
    messages, torn = whole_and_torn([*before, missing])
    written = messages.count("x" * length)
    counted = [int(one.partition(" ")[0]) for one in messages if one != "x" * length]
    assert torn <= sum(counted)
    assert sum(counted) > 4000
    # (Lines that are left out are counted whoever says them.)
    assert 4990 <= written + sum(counted) <= 5001


def whole_and_torn(lines: list[str]) -> tuple[list[str], int]:
    """The messages of lines that are whole, and how many are not: each of those is counted as left out."""
    messages, torn = [], 0
    for line in lines:
        try:
            messages.append(json.loads(line)["message"])
        except ValueError:
            torn += 1
    return messages, torn


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_line_longer_than_is_written_at_once_is_whole(kind: str) -> None:
    with stderr_to(kind) as reading:
        logs.set_up(Log(format="json"))
        logger.info("{}", "x" * 6000 + "end")
        [line] = Reader(reading).until("}\n")
    assert json.loads(line)["message"] == "x" * 6000 + "end"


def test_a_file_gets_everything(tmp_path: Path) -> None:
    with stderr(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)):
        logs.set_up(Log(format="json"))
        for number in range(1000):
            logger.info("{} {}", number, "x" * 10_000)
    lines = (tmp_path / "log").read_text().splitlines()
    assert [int(json.loads(line)["message"].split()[0]) for line in lines] == list(range(1000))


def test_nobody_left_to_read_is_no_matter() -> None:
    reading, writing = os.pipe()
    with stderr(writing):
        logs.set_up(Log())
        os.close(reading)
        logger.info("to nobody")


@pytest.mark.timeout(60)
def test_a_daemon_whose_log_is_not_read_answers_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "vgpu.sock"
    reading, writing = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([*COMMAND, "--socket-path", str(path)], stderr=writing)
    os.close(writing)
    try:
        assert wait_until(partial(answers, path))
        for _ in range(100):
            with socket.socket(socket.AF_UNIX) as frontend:
                frontend.connect(str(path))
        for _ in range(3):
            client = Client(control_path(path))
            client.ask("status")
            client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reading)
