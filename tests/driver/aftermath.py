# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What must hold after any misdeed: only its author may have lost something."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .backend import Machine
from .memory import GuestMemory, MiB
from .processes import alive, wait_until
from .protocol import DisconnectedError
from .queue import NoResponseError
from .tree import END_SECONDS, STATUS_SECONDS, TOLERANCE_SECONDS, Fields, NoAnswerError, Tree
from .witness import SECONDS as WITNESS_SECONDS
from .witness import Witness, WitnessError

ANSWER_SECONDS = 1.0
NEWCOMER_SECONDS = 5.0
LEAVING_SECONDS = 5.0
MISTAKE = "mistake in this program"
OWN = ("session_process", "device_process")
FAILURES = (OSError, NoResponseError, DisconnectedError, WitnessError)


class AftermathError(AssertionError):
    """A misdeed has cost another party something."""


class House:
    """A daemon, a witness on it, and whoever else connects.

    with house.misdeed():
        …
    """

    def __init__(
        self,
        *options: str,
        environment: dict[str, str] | None = None,
        wrapper: Sequence[str] = (),
        patience: float = 1.0,
    ) -> None:
        """``patience``: how many times longer than usual each single thing may take, for example
        under sanitizers.
        """
        self._patience = patience
        self.tree = Tree(*options, environment=environment, wrapper=wrapper)
        try:
            self.witness = Witness(self.tree.socket_path, seconds=WITNESS_SECONDS * patience)
        except BaseException:
            self.tree.close()
            raise
        self.name, fields = next(iter(self.tree.machines().items()))
        self._own = _own(fields)
        self._count = len(self.tree.processes())
        self._said = 0
        self.sound = True

    @property
    def socket_path(self) -> Path:
        return self.tree.socket_path

    @contextmanager
    def misdeed(self, *, all_gone: bool = True) -> Iterator[None]:
        """After the body all must be well, and with ``all_gone`` whoever connected in it must have
        left.

        After a failed body or check the house is not ``sound``: the next case needs another.
        """
        was_sound, self.sound = self.sound, False
        yield
        self.check()
        if all_gone:
            self.everyone_has_left()
        self.sound = was_sound

    def check(self) -> None:
        """Daemon, control socket, witness, a newcomer."""
        if not alive(self.tree.daemon) or self.tree.process.poll() is not None:
            raise AftermathError(f"the daemon is dead: {self._log()}")
        # A session that does not answer in time is shown without what it would have said.
        if not wait_until(self._witness_is_itself, ANSWER_SECONDS * self._patience):
            now = self._machines().get(self.name)
            raise AftermathError(f"the witness was {self._own}, now {now}")
        self._witness_is_well()
        newcomer(self.tree.socket_path, NEWCOMER_SECONDS * self._patience)
        # (What a device process writes, which may be anything, has a time and a level before it.)
        if MISTAKE in (said := self._log()) or "\nTraceback" in said:
            raise AftermathError(f"a mistake of the program's own: {said}")
        self._said = len(self.tree.log)

    def _witness_is_itself(self) -> bool:
        return _own(self._machines().get(self.name, {})) == self._own

    def _machines(self) -> dict[str, Fields]:
        try:
            return self.tree.machines(STATUS_SECONDS * self._patience)
        except NoAnswerError as error:
            raise AftermathError(f"the control socket does not answer: {error}") from error

    def _witness_is_well(self) -> None:
        try:
            self.witness.check()
        except FAILURES as error:
            raise AftermathError(f"the witness is not served: {error!r}") from error

    def everyone_has_left(self) -> None:
        """Nobody but the witness is served, and nothing is left of the others."""
        seconds = LEAVING_SECONDS * self._patience
        was_sound, self.sound = self.sound, False
        if not wait_until(lambda: self._machines().keys() == {self.name}, seconds):
            raise AftermathError(f"a session does not end: {list(self._machines())}")
        if not wait_until(lambda: len(self.tree.processes()) <= self._count, seconds):
            count = len(self.tree.processes())
            raise AftermathError(f"{count} processes are left of others, not {self._count}")
        self.sound = was_sound

    def _log(self) -> str:
        return self.tree.log[self._said :][-3000:]

    def end(self) -> None:
        """SIGTERM, which is the end of everything within a second."""
        seconds = self.tree.terminate()
        if seconds > END_SECONDS + TOLERANCE_SECONDS:
            left = [one for one in self.tree.processes() if alive(one)]
            raise AftermathError(f"SIGTERM has not ended {left} in time")

    def close(self) -> None:
        """Ends everything, whether it is sound or not."""
        with suppress(OSError):
            self.witness.close()
        self.tree.close()


class Street:
    """Houses, of which one is in use."""

    def __init__(self, build: Callable[[], House]) -> None:
        self._build = build
        self._house: House | None = None

    def house(self) -> House:
        """The current one if it is sound, otherwise a new one."""
        if self._house is not None and not self._house.sound:
            self._house.close()
            self._house = None
        if self._house is None:
            self._house = self._build()
        return self._house

    def close(self) -> None:
        """The last one ends as it should, if it was sound."""
        if self._house is None:
            return
        try:
            if self._house.sound:
                self._house.end()
        finally:
            self._house.close()


def _own(fields: Fields) -> dict[str, object]:
    """The processes that a machine has, and that it has had no others."""
    return {key: fields.get(key) for key in (*OWN, "restarts")}


def newcomer(socket_path: Path, seconds: float = NEWCOMER_SECONDS) -> None:
    """A new machine connects, draws, sees that and leaves."""
    began = time.monotonic()
    try:
        with Machine(
            socket_path,
            memory=GuestMemory(1 * MiB),
            guest={"timeout": seconds},
            frontend={"timeout": seconds},
        ) as machine:
            resource = machine.guest.create_2d(16, 16)
            pixels = bytes(range(256)) * 4
            machine.guest.draw(resource, resource.whole, pixels)
            machine.guest.show(resource)
            if not machine.display.wait_for_picture(0, pixels, seconds):
                raise AftermathError("a newcomer does not see what it drew")
    except FAILURES as error:
        took = time.monotonic() - began
        raise AftermathError(f"a newcomer is not served: {error!r} after {took:.1f} s") from error
