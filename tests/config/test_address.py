# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Where viewers may connect: at a path, or at a port that nobody from elsewhere reaches."""

from pathlib import Path

import pytest

from vgpud.config.address import Address, LocalAddress

KIND = LocalAddress()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/vgpud/view", Address(path=Path("/run/vgpud/view"))),
        ("unix:view", Address(path=Path("view"))),
        ("127.0.0.1:5900", Address(host="127.0.0.1", port=5900)),
        ("127.0.0.7:1", Address(host="127.0.0.7", port=1)),
        ("localhost:65535", Address(host="127.0.0.1", port=65535)),
        ("[::1]:5901", Address(host="::1", port=5901)),
    ],
)
def test_an_address_is_a_path_or_a_port(text: str, address: Address) -> None:
    assert KIND.parse(text) == KIND.read(KIND.write(address)) == address


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "[::]", "example.org", "*"])
def test_nobody_from_elsewhere_is_let_in(host: str) -> None:
    with pytest.raises(ValueError, match="expected a loopback address"):
        KIND.parse(f"{host}:5900")


@pytest.mark.parametrize(
    "text", ["", "unix", "5900", ":5900", "localhost:", "/run/view", "::1:5900"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected unix:PATH or HOST:PORT"):
        KIND.parse(text)


@pytest.mark.parametrize("text", ["unix:", "unix:/a\0b"])
def test_a_path_is_one(text: str) -> None:
    with pytest.raises(ValueError, match="expected a path after unix:"):
        KIND.parse(text)


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_port_is_one(port: str) -> None:
    with pytest.raises(ValueError, match="expected a port from 1 to 65535"):
        KIND.parse(f"localhost:{port}")


def test_a_file_says_it_as_a_text() -> None:
    with pytest.raises(ValueError, match="expected unix:PATH or HOST:PORT, not 5900"):
        KIND.read(5900)
