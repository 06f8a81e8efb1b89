# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The machines that are served now, for who wants to look."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from vgpud.session.session_state import Scanout


class Machine(Protocol):
    """One front-end's session, looked at from outside."""

    def report(self) -> dict[str, Any]:
        """What there is to say of it, as JSON has it."""
        ...

    async def look(self, scanout_id: int) -> None:
        """Has the image brought up to date that ``screen`` gives: what a GPU drew is elsewhere."""
        ...

    def screen(self, scanout_id: int) -> tuple[Scanout, tuple[int, int], int] | None:
        """A scanout, the size of its image, and the image's descriptor, which stays the
        machine's; None when the scanout shows nothing that the daemon has.
        """
        ...

    async def set_output(self, scanout_id: int, size: tuple[int, int] | None) -> None:
        """Plugs a display of that width and height in pixels into an output, or none, and has the
        guest look; ``ControlError`` when that cannot be.
        """
        ...

    def supervised(self) -> bool:
        """Whether its device process is looked after as it should be."""
        ...


class Machines:
    """By name, in the order in which they came."""

    def __init__(self) -> None:
        self._served: dict[str, Machine] = {}

    @contextmanager
    def serving(self, name: str, machine: Machine) -> Iterator[None]:
        """The machine is there as long as the context."""
        self._served[name] = machine
        try:
            yield
        finally:
            del self._served[name]

    def reports(self) -> list[dict[str, Any]]:
        """One for each machine."""
        return [{"name": name, **machine.report()} for name, machine in self._served.items()]

    def supervised(self) -> bool:
        """Whether all of them are."""
        return all(machine.supervised() for machine in self._served.values())

    def find(self, name: str | None) -> Machine | None:
        """The machine with this name, or with its beginning up to the comma; the first without one."""
        for served, machine in self._served.items():
            if name in (None, served, served.partition(",")[0]):
                return machine
        return None
