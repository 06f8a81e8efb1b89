# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Which daemons there are, found by their sockets, and which of them to ask."""

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from vgpud.config.runtime import SOCKET_NAME, SYSTEM_RUNTIME, default_socket, runtime_folder
from vgpud.control.client import Client, NobodyError, NotAllowedError
from vgpud.control.protocol import SUFFIX, ControlError, Fields, control_path, is_meant

SYSTEM_FOLDER = SYSTEM_RUNTIME
SYSTEM_SOCKET = SYSTEM_FOLDER / SOCKET_NAME
VARIABLE = "VGPUD_SOCKET_PATH"
PROGRAM = "vgpud"  # as the kernel knows the daemon's process
DEPTH = ("*", "*/*")
# For a daemon that the user has not named: any program may listen there.
SECONDS = 2
LISTENING = 1 << 16  # __SO_ACCEPTCON, of the flags in /proc/net/unix
LOOKED_AT_MAX = 512


class Found(NamedTuple):
    """A daemon that has answered: its socket, and its status."""

    path: Path
    status: Fields


class Survey(NamedTuple):
    """All that was found; ``closed`` counts those that this user may not ask."""

    answered: list[Found]
    closed: int


# --- what there is


def survey(paths: Iterable[Path] | None = None) -> Survey:
    """Asks every daemon at these sockets, or at all that are found, at the same time."""
    asked = [_Asked(path) for path in (socket_paths() if paths is None else paths)]
    for one in asked:
        one.start()
    for one in asked:
        one.join(3 * SECONDS)
    answered = [Found(one.path, one.status) for one in asked if one.status is not None]
    return Survey(answered, sum(one.closed for one in asked))


class _Asked(threading.Thread):
    """One that answers slowly or never must not delay the others."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.status: Fields | None = None
        self.closed = False

    def run(self) -> None:
        try:
            client = Client(control_path(self.path), SECONDS)
        except NotAllowedError:
            self.closed = True
            return
        except ControlError:
            return
        with suppress(ControlError):
            status, _ = client.ask("status")
            # Another program may listen at such a name.
            if isinstance(status.get("machines"), list) and "mode" in status:
                self.status = status
        client.close()


def socket_paths() -> list[Path]:
    """The main socket of each daemon whose control socket this user can see, in a steady order."""
    found = dict.fromkeys([*_in_folders(), *sorted(_of_processes())])
    paths = [path for path in found if _is_socket(path)]
    return [path.with_name(path.name.removesuffix(SUFFIX)) for path in paths][:LOOKED_AT_MAX]


def _in_folders() -> Iterator[Path]:
    for folder in _folders():
        for depth in DEPTH:
            with suppress(OSError):
                yield from sorted(folder.glob(f"{depth}{SUFFIX}"))


def _folders() -> Iterator[Path]:
    own = runtime_folder(os.environ, os.geteuid())
    if own is not None:
        yield own
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        yield Path(runtime)
    yield SYSTEM_FOLDER


def _of_processes() -> set[Path]:
    """As the kernel lists them; a daemon in its own network namespace is listed only there."""
    found = set(_listed(Path("/proc/net/unix"), None))
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # Processes choose their names: any bytes.
            if (process / "comm").read_text(errors="replace").strip() == PROGRAM:
                found |= set(_listed(process / "net/unix", process / "cwd"))
    return found


def _listed(table: Path, folder: Path | None) -> Iterator[Path]:
    """``folder`` is where relative names begin."""
    with suppress(OSError):
        for line in table.read_text(errors="surrogateescape").splitlines()[1:]:
            fields = line.split(maxsplit=7)
            if len(fields) < 8 or not fields[7].endswith(SUFFIX) or fields[7].startswith("@"):
                continue
            if not int(fields[3], 16) & LISTENING:
                continue
            path = Path(fields[7])
            if not path.is_absolute() and folder is not None:
                with suppress(OSError):
                    path = folder.readlink() / path
            if path.is_absolute():
                yield path


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except PermissionError:
        return True  # whether this user may ask there is found out by asking
    except OSError:
        return False


# --- which to ask


def usual_socket() -> Path | None:
    """The socket of a daemon without another configuration, this user's or the system's; None where
    there is none.
    """
    places = [default_socket(os.environ, os.geteuid()), SYSTEM_SOCKET]
    return next((place for place in places if place and control_path(place).exists()), None)


def chosen(given: Path | None, machine: str | None = None) -> Path:
    """The socket of the daemon to ask; ``ControlError`` when it is not clear which.

    ``given`` is the socket that the user has named, ``machine`` the machine that the daemon must
    have.
    """
    if given is not None:
        return given
    usual = usual_socket()
    if usual is not None and (machine is None or _has(usual, machine)):
        return usual
    found = survey().answered
    if machine is not None:
        return _with_machine(found, machine)
    if len(found) == 1:
        return found[0].path
    if found:
        raise ControlError(f"there are {len(found)} daemons, {_listing(found)}: name one with -s")
    usual = default_socket(os.environ, os.geteuid()) or SYSTEM_SOCKET
    raise NobodyError(f"no vgpud answers at {usual}; start it, or name its socket with -s")


def _with_machine(found: list[Found], machine: str) -> Path:
    having = [one for one in found if has_machine(one.status, machine)]
    if not having:
        raise ControlError(f"there is no machine {machine}")
    if len(having) > 1:
        raise ControlError(
            f"{len(having)} daemons have a machine {machine}, {_listing(having)}: name one with -s"
        )
    return having[0].path


def _has(path: Path, machine: str) -> bool:
    return any(has_machine(one.status, machine) for one in survey([path]).answered)


def has_machine(status: Fields, wanted: str) -> bool:
    """Whether a machine of that name, or number, is served there."""
    return any(
        is_meant(str(one.get("name")), one.get("number", 0), wanted) for one in status["machines"]
    )


def _listing(found: list[Found]) -> str:
    return ", ".join(str(one.path) for one in found)


def several(every: bool, choose: Callable[[], Path]) -> list[Path]:
    """The daemons to ask: every one that this user may ask, or the one that is chosen."""
    if not every:
        return [choose()]
    found = [one.path for one in survey().answered]
    if not found:
        raise NobodyError("no vgpud answers; start it, or name its socket with -s")
    return found
