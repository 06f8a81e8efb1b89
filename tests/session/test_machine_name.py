# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a machine is called, as its VMM's command line says it."""

import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.link import rights
from vgpud.session.machine_name import NAME_MAX, learn_name, name_in
from vgpud.session.other_end import _peer_in, holders

from ..driver.processes import wait_until


@pytest.mark.parametrize(
    ("words", "name"),
    [
        # As libvirt writes it, and as people do.
        (["qemu", "-name", "guest=web,debug-threads=on", "-S"], "web"),
        (["qemu", "-S", "-name", "web"], "web"),
        (["qemu", "--name", "web,process=x"], "web"),
        (["qemu", "-name", "process=x,guest=a b"], "a b"),
        (["qemu", "-name", "guest=a,,b,debug-threads=on"], "a,b"),
        (["qemu", "-name", "guest=a=b"], "a=b"),
        (["qemu", "-name", "guest=é\x1b[2J\n"], "é?[2J?"),
        (["qemu", "-name", "guest=" + "x" * 1000], "x" * NAME_MAX),
        (["qemu", "-name", "debug-threads=on"], ""),
        (["qemu", "-name", ""], ""),
        (["qemu", "-name"], ""),
        (["qemu", "-S"], ""),
        ([], ""),
    ],
)
def test_the_name_is_the_one_after_the_flag(words: list[str], name: str) -> None:
    assert name_in(b"".join(word.encode() + b"\0" for word in words)) == name


@given(st.binary())
def test_whatever_stands_there_is_a_printable_name_or_none(data: bytes) -> None:
    for line in (data, b"qemu\0-name\0" + data):
        name = name_in(line)
        assert name.isprintable()
        assert len(name) <= NAME_MAX


# Says something on a socket that it was given, and leaves a descriptor in it.
TALK = (
    "import socket, sys, time; end = socket.socket(fileno=int(sys.argv[1])); "
    "socket.send_fds(end, [b'hello'], [0]); time.sleep(60)"
)


def test_the_sender_counts_whoever_made_the_connection_and_nothing_is_taken() -> None:
    """As with libvirt, which gives QEMU an end of a pair."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        vmm = subprocess.Popen(
            [sys.executable, "-c", TALK, str(theirs.fileno()), "-name", "guest=web"],
            pass_fds=[theirs.fileno()],
        )
        try:
            assert wait_until(lambda: learn_name(ours.fileno()) == "web")
            before = len(list(Path("/proc/self/fd").iterdir()))
            assert learn_name(ours.fileno()) == "web"
            assert len(list(Path("/proc/self/fd").iterdir())) == before
            data, ancillary, flags, _ = ours.recvmsg(100, 1024)
            descriptors = rights.unpack(ancillary)
            assert (data, len(descriptors), flags) == (b"hello", 1, 0)
            rights.close(descriptors)
        finally:
            vmm.kill()
            vmm.wait()


def test_one_that_has_ended_has_no_name() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        with theirs:
            subprocess.run(
                [sys.executable, "-c", TALK.replace("60", "0"), str(theirs.fileno()), "-name", "x"],
                pass_fds=[theirs.fileno()],
                check=True,
            )
        assert learn_name(ours.fileno()) == ""


def test_without_credentials_the_holder_of_the_other_end_is_found() -> None:
    """Where the first message came before we could ask for them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        vmm = subprocess.Popen(
            [sys.executable, "-c", TALK, str(theirs.fileno()), "-name", "guest=web"],
            pass_fds=[theirs.fileno()],
        )
        try:
            assert select.select([ours], [], [], 10)[0]
            if vmm.pid not in holders(ours.fileno()):
                pytest.skip("this kernel does not tell which socket is the other end")
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            assert learn_name(ours.fileno()) == "web"
        finally:
            vmm.kill()
            vmm.wait()


@pytest.mark.parametrize("answer", [b"", b"x" * 15, b"x" * 16, bytes(64), b"\xff" * 64])
def test_an_answer_that_is_none_names_nobody(answer: bytes) -> None:
    assert _peer_in(answer) == 0
