# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A session that its VMM has taken over: it sends word by word what it is told, on any of its
links.

It is one whose connection begins with ``MAGIC``; a line of :mod:`speech` follows another.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import socket
from collections.abc import Callable
from typing import Any

MAGIC = b"lies"
FIRST_WORD_SECONDS = 10.0
DEVICE_SECONDS = 2.0
SERIAL = 123456789
"""Stands for the serial of whatever is answered."""

# By this name, or within the tests' package.
speech = importlib.import_module(f"{__package__}.speech" if __package__ else "speech")


def announced(frontend: int) -> bool:
    """Whether the VMM wants a liar; waits for its first bytes."""
    waiting = select.poll()
    waiting.register(frontend, select.POLLIN)
    if not waiting.poll(FIRST_WORD_SECONDS * 1000):
        return False
    end = socket.socket(fileno=frontend)
    try:
        return end.recv(len(MAGIC), socket.MSG_PEEK) == MAGIC
    finally:
        end.detach()


class Session:
    """``ends`` are those of vgpud.session.process."""

    def __init__(self, ends: Any) -> None:
        self._ends = ends
        self._link: int | None = None
        self._life: int | None = None
        self._table: dict[str, Callable[[Any], None]] = {
            "reports": lambda word: self._write(ends.reports, word),
            "log": lambda word: self._write(2, word),
            "wishes": lambda word: self._write(ends.wishes, word),
            "orders": lambda word: speech.send(ends.orders, word),
            "grants": lambda word: speech.send(ends.grants, word),
            "link": self._say_to_device,
            "answer": self._answer,
            "device": self._start_device,
            "life": self._end_device,
            "close": lambda word: os.close(getattr(ends, bytes.fromhex(word.data).decode())),
            "end": lambda word: os._exit(word.place),
        }

    def run(self) -> int:
        """Runs until the VMM leaves, confined like an honest session."""
        speech.prepare()
        importlib.import_module("vgpud.session.confinement").confine()
        os.set_blocking(self._ends.frontend, True)
        with os.fdopen(self._ends.frontend, "rb") as words:
            words.read(len(MAGIC))
            with contextlib.suppress(ConnectionResetError):
                for line in words:
                    [word] = speech.decode(line)
                    with contextlib.suppress(OSError):
                        self._table[word.end](word)
        return 0

    def _write(self, pipe: int, word: Any) -> None:
        os.write(pipe, bytes.fromhex(word.data))

    def _say_to_device(self, word: Any) -> None:
        if self._link is not None:
            speech.send(self._link, word)

    def _answer(self, word: Any) -> None:
        """Whatever it was asked until now, with that answer."""
        orders = socket.socket(fileno=self._ends.orders)
        try:
            while packet := orders.recv(1 << 16, socket.MSG_DONTWAIT):
                serial = json.loads(packet)[1].get("serial", 0)
                answer = bytes.fromhex(word.data).replace(b"%d" % SERIAL, b"%d" % serial)
                os.write(self._ends.reports, answer)
        finally:
            orders.detach()

    def _start_device(self, word: Any) -> None:
        """The one before has to be gone."""
        os.write(self._ends.wishes, b"D")
        waiting = select.poll()
        waiting.register(self._ends.grants, select.POLLIN)
        if not waiting.poll(DEVICE_SECONDS * 1000):
            return
        grants = socket.socket(fileno=self._ends.grants)
        try:
            _, descriptors, _, _ = socket.recv_fds(grants, 1 << 16, 8, socket.MSG_DONTWAIT)
        finally:
            grants.detach()
        if descriptors:
            self._link, self._life = descriptors

    def _end_device(self, word: Any) -> None:
        if self._life is not None:
            os.close(self._life)
            self._life = None
