# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Which programs are measured: one that cannot serve a machine here is left out, and said to be."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from contrib.bench import __main__ as bench
from contrib.bench import report
from contrib.bench.peers import Peer, peers

HANGS_UP = "import socket, sys; end = socket.socket(socket.AF_UNIX); end.bind(sys.argv[1]); end.listen(); end.accept()"


def _hangs_up(socket_path: Path) -> Sequence[str | Path]:
    return [sys.executable, "-c", HANGS_UP, socket_path]


def test_one_that_does_not_answer_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert not bench.can_be_measured(Peer("rust", lambda: True, _hangs_up))
    assert "rust: does not answer, left out" in capsys.readouterr().err


def test_vgpud_has_to_answer() -> None:
    with pytest.raises(bench.FAILURES):
        bench.can_be_measured(Peer(report.SUBJECT, lambda: True, _hangs_up))


@pytest.mark.parametrize(
    ("mode", "theirs"), [("2d", "virglrenderer"), ("gfxstream", "gfxstream"), ("null", "null")]
)
def test_the_other_draws_with_what_is_nearest(mode: str, theirs: str) -> None:
    rust = next(peer for peer in peers(mode) if peer.name == "rust")
    assert list(rust.arguments(Path("socket")))[-2:] == ["--gpu-mode", theirs]
