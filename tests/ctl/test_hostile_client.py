# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Clients of the control socket that are hostile, or send nonsense."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from vgpud.control.protocol import control_path, request
from vgpud.daemon.control_socket import CONNECTIONS_MAX

from ..daemon.running import answers, daemon, open_descriptors, wait_until
from ..driver.backend import Backend, Machine


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with daemon() as running:
        assert wait_until(partial(answers, running.socket_path))
        assert is_served(running)
        yield running


def connected(backend: Backend) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # With a timeout it would not wait for its turn.
    connection.connect(str(control_path(backend.socket_path)))
    connection.settimeout(5)
    return connection


def is_served(backend: Backend) -> bool:
    command = [sys.executable, "-m", "vgpud.ctl", "--socket-path", str(backend.socket_path)]
    return not subprocess.run(
        [*command, "status"], timeout=20, check=False, stdout=subprocess.DEVNULL
    ).returncode


def everything(connection: socket.socket) -> bytes:
    """Until the daemon hangs up, which it has to."""
    data = b""
    try:
        while part := connection.recv(1 << 16):
            data += part
    except ConnectionResetError:
        pass  # it closed with something of ours unread
    return data


def memory_of(process_id: int) -> int:
    """Resident, in KiB."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_clients_that_say_nothing_keep_nobody_out(backend: Backend) -> None:
    before = len(open_descriptors(backend.process.pid))
    with ExitStack() as stack:
        for _ in range(CONNECTIONS_MAX * 3):
            stack.enter_context(connected(backend))
        assert is_served(backend)
        assert len(open_descriptors(backend.process.pid)) <= before + CONNECTIONS_MAX + 1
    assert wait_until(lambda: len(open_descriptors(backend.process.pid)) <= before)


def test_a_client_that_is_heard_now_and_then_outlives_those_that_are_not(backend: Backend) -> None:
    with ExitStack() as stack:
        busy = stack.enter_context(connected(backend))
        for _ in range(CONNECTIONS_MAX * 2):
            stack.enter_context(connected(backend))
            busy.sendall(request("status"))
            assert "result" in json.loads(busy.recv(1 << 16))


def test_a_line_without_an_end_is_answered_once(backend: Backend) -> None:
    with connected(backend) as connection:
        try:
            for _ in range(1000):
                connection.sendall(b"x" * 4096)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert everything(connection).count(b"\n") <= 1
    assert is_served(backend)


def test_whoever_does_not_speak_the_protocol_is_answered_and_left(backend: Backend) -> None:
    with connected(backend) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        [line] = everything(connection).splitlines()
        assert "error" in json.loads(line)


def test_a_refused_request_is_not_the_end_of_the_conversation(backend: Backend) -> None:
    with connected(backend) as connection, connection.makefile() as answers:
        connection.sendall(request("dance") + request("status"))
        assert "error" in json.loads(answers.readline())
        assert "result" in json.loads(answers.readline())


def test_a_client_that_reads_no_answers_costs_no_memory(backend: Backend) -> None:
    before = memory_of(backend.process.pid)
    with connected(backend) as connection:
        connection.setblocking(False)
        sent = 0
        while sent < 4 << 20:
            try:
                sent += connection.send(request("status") * 1000)
            except BlockingIOError:
                break
        assert is_served(backend)
        assert memory_of(backend.process.pid) < before + 4096


def test_descriptors_that_nobody_asked_for_are_not_kept(backend: Backend) -> None:
    before = len(open_descriptors(backend.process.pid))
    with connected(backend) as connection:
        for _ in range(50):
            socket.send_fds(connection, [request("status")], [connection.fileno()] * 10)
            assert b"result" in connection.recv(1 << 16)
        assert len(open_descriptors(backend.process.pid)) <= before + 1


@pytest.mark.parametrize(
    "line",
    [
        '{"version": 1, "command": "screen"}'.encode("utf-16"),
        '{"version": 1, "command": "screen", "machine": "\u202e\x7f"}'.encode(),
        b'{"version": 1, "command": "screen", "machine": "\xff\xfe"}',
        b'{"version": 1, "command": "screen", "self": 1, "version ": 2}',
        b'{"version": 1, "command": "screen", "scanout": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"version": 1, "command": "set-display", "width": 1e999}',
        b'{"version": 1, "command": "set-display", "x": "' + "\u00e9".encode() * 1900 + b'"}',
    ],
)
def test_whatever_is_asked_of_a_machine_is_answered_and_no_more(
    backend: Backend, line: bytes
) -> None:
    with Machine(backend.socket_path), connected(backend) as connection:
        connection.sendall(line + b"\n")
        answers = everything_soon(connection).splitlines()
        assert all("error" in json.loads(answer) for answer in answers)
        assert is_served(backend)


@pytest.mark.parametrize("depth", [1, 900])
@pytest.mark.parametrize("command", ["log-level", "screen"])
def test_an_argument_has_no_parts_however_deep_they_lie(
    backend: Backend, command: str, depth: int
) -> None:
    argument = b"[" * depth + b"]" * depth
    with connected(backend) as connection:
        connection.sendall(
            b'{"version": 1, "command": "%s", "level": %s}\n' % (command.encode(), argument)
        )
        [answer] = everything_soon(connection).splitlines()
    assert "an argument must be a text" in json.loads(answer)["error"]


def everything_soon(connection: socket.socket) -> bytes:
    """What comes of one request, whether the daemon hangs up then or not."""
    connection.shutdown(socket.SHUT_WR)
    return everything(connection)
