# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The socket that front-ends connect to, or the one that a front-end is connected to already.

Nothing here needs the event loop: who starts this program may connect while that is still being
imported.
"""

import errno
import grp
import os
import socket
import stat
from pathlib import Path

from attrs import evolve

from vgpud.config.schema import Socket
from vgpud.control.protocol import control_path
from vgpud.errors import ConfigurationError

BACKLOG = 16


class Listener:
    """``end`` is listening, or connected when not ``listening``; the file at ``path`` is removed
    when it closes.
    """

    def __init__(self, end: socket.socket, listening: bool, path: Path | None = None) -> None:
        self.end = end
        self.listening = listening
        self._path = path
        self._identity = _identity(path) if path else None

    def close(self) -> None:
        # Another program may have replaced the file meanwhile; then it is not ours to remove.
        if self._path and self._identity and _identity(self._path) == self._identity:
            self._path.unlink(missing_ok=True)
        self.end.close()


def open_listener(options: Socket) -> Listener:
    """The socket that the configuration names; ``ConfigurationError`` when it cannot be had."""
    # With socket activation there is a path as well, which the descriptor listens at already.
    if options.fd is not None:
        return _inherited(options.fd)
    if options.path is not None:
        return _listen(options.path, options)
    raise ConfigurationError("no socket to serve: give --socket-path PATH or --fd N")


def open_control_listener(options: Socket) -> Listener | None:
    """The control socket beside the main one, for its owner and group alone; None where an
    inherited socket has no path to be beside.
    """
    if options.path is None:
        return None
    return _listen(control_path(options.path), evolve(options, mode=options.mode & 0o660))


def _listen(path: Path, options: Socket) -> Listener:
    group = group_of(options)
    _remove_stale(path)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind(end, path, options.mode)
        listener = Listener(end, listening=True, path=path)
    except OSError as error:
        end.close()
        raise _unusable(path, error) from error
    # From here on there is a file, which an error has to remove.
    try:
        path.chmod(options.mode)
        if group is not None:
            os.chown(path, -1, group)
        end.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _unusable(path, error) from error
    return listener


def _bind(end: socket.socket, path: Path, mode: int) -> None:
    """The file appears with no more permissions than it is to have."""
    mask = os.umask(0o777 & ~mode)
    try:
        end.bind(os.fspath(path))
    finally:
        os.umask(mask)


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{path}: {error.strerror or error}")


def group_of(options: Socket) -> int | None:
    """The group that the configuration gives the sockets to."""
    return None if options.group is None else _group_id(options.group)


def _remove_stale(path: Path) -> None:
    """Removes a socket file that nobody listens at; ``ConfigurationError`` for any other file."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"{path}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A listener whose backlog is full would let us wait.
        probe.setblocking(False)
        error = probe.connect_ex(os.fspath(path))
    if error != errno.ECONNREFUSED:
        raise ConfigurationError(f"{path}: in use: another program listens there")
    path.unlink(missing_ok=True)


def _group_id(group: str) -> int:
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigurationError(f"socket.group: there is no group {group}") from None


def _inherited(descriptor: int) -> Listener:
    """A socket that whoever started this program has opened."""
    try:
        end = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigurationError(f"--fd {descriptor}: {error.strerror}") from error
    end.set_inheritable(False)
    if end.family != socket.AF_UNIX or end.type != socket.SOCK_STREAM:
        end.detach()
        raise ConfigurationError(f"--fd {descriptor}: no stream socket of the family AF_UNIX")
    listening = end.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return Listener(end, listening=bool(listening))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
