# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A socket that a service manager listens at for the program."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vgpud.cli.activation import take_socket
from vgpud.errors import ConfigurationError

from ..driver.frontend import Frontend

# sd_listen_fds(3): the descriptor is 3, and the number of the process is its own.
ACTIVATED = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); "
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
    "os.execv(sys.executable, [sys.executable, '-m', 'vgpud', *sys.argv[2:]])"
)


def test_a_passed_socket_is_served_and_its_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        daemon = subprocess.Popen(
            [sys.executable, "-c", ACTIVATED, str(listening.fileno()), "--socket-path", path],
            pass_fds=[listening.fileno()],
            stderr=subprocess.DEVNULL,
        )
        try:
            frontend = Frontend.connect(path)
            assert frontend.ask_u64(1)
            frontend.close()
            daemon.terminate()
            assert daemon.wait(5) == 0
            assert path.exists()
        finally:
            daemon.kill()
            daemon.wait()


def test_what_is_for_another_process_is_left_alone_and_not_passed_on() -> None:
    environment = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "x", "HOME": "/"}
    assert take_socket(environment) is None
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize("count", ["", "0", "-1", "x"])
def test_no_socket_is_no_mistake(count: str) -> None:
    assert take_socket({"LISTEN_FDS": count, "LISTEN_PID": str(os.getpid())}) is None


def test_several_sockets_are_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="2 sockets"):
        take_socket({"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())})
