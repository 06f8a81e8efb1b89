# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the state machines have in common: a house with a witness, looked at after each step and at each end."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import ClassVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.driver.aftermath import FAILURES, AftermathError, House, Street
from tests.driver.memory import MiB
from tests.driver.processes import alive
from tests.driver.tree import NoAnswerError

# What a sanitizer, the kernel or the interpreter says when memory was not what it should have been.
SYMPTOMS = re.compile(
    r"mistake in this program|has no answer|^Traceback|AddressSanitizer|runtime error:"
    r"|ended with SIG(?:SEGV|ABRT|BUS|FPE|ILL|TRAP)",
    re.MULTILINE,
)
# A log ends at 16 MiB.
LOG_BYTES = 8 * MiB


class Ground:
    """Where one kind of liar works: one house after the other, and a count of what was done there."""

    def __init__(self, build: Callable[[], House]) -> None:
        self._street = Street(build)
        self.cases = 0
        self.steps = 0
        self._read = 0
        self._house: House | None = None

    def house(self) -> House:
        house = self._street.house()
        if house.tree.log_path.stat().st_size > LOG_BYTES:
            house.sound = False
            house = self._street.house()
        if house is not self._house:
            self._house, self._read = house, 0
        return house

    def look(self, house: House) -> None:
        """The daemon lives, the witness is served, nobody has crashed."""
        self.steps += 1
        sound, house.sound = house.sound, False
        if not alive(house.tree.daemon):
            raise AftermathError(f"the daemon is dead: {self._said(house)[-3000:]}")
        try:
            house.witness.check()
        except FAILURES as error:
            raise AftermathError(f"the witness is not served: {error!r}") from error
        said = self._said(house)
        if found := SYMPTOMS.search(said):
            raise AftermathError(
                f"somebody has crashed: {said[max(0, found.start() - 2000) :][:6000]}"
            )
        house.sound = sound

    def look_closely(self, house: House) -> None:
        """Once all have left: nothing is left of them, and a newcomer is served."""
        self.cases += 1
        with house.misdeed():
            pass
        self.look(house)

    def _said(self, house: House) -> str:
        """Since it was looked at last."""
        with house.tree.log_path.open("rb") as log:
            log.seek(self._read)
            data = log.read()
        # A line that has only begun is looked at when it is whole.
        whole = data.rfind(b"\n") + 1
        self._read += whole
        return data[:whole].decode(errors="replace")

    def close(self) -> None:
        self._street.close()


class Liar(RuleBasedStateMachine):
    """``ground`` is the kind's; whoever runs it provides it."""

    ground: ClassVar[Ground]

    def __init__(self) -> None:
        super().__init__()
        self.house = self.ground.house()
        self.owned = contextlib.ExitStack()

    @invariant()
    def everybody_else_is_well(self) -> None:
        self.ground.look(self.house)

    def ask(self, command: str, timeout: float = 2.0, **arguments: object) -> None:
        """Something on the control socket, whatever the answer, if there is one in time."""
        with contextlib.suppress(NoAnswerError):
            self.house.tree.ask(command, timeout, **arguments)

    def teardown(self) -> None:
        self.owned.close()
        if self.house.sound:
            self.ground.look_closely(self.house)
