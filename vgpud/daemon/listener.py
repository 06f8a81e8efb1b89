# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The socket that front-ends connect to, or one to which a front-end is already connected.

Nothing here needs the event loop: whoever starts this program may connect while that is still being
imported.
"""

import errno
import grp
import os
import socket
from contextlib import ExitStack
from pathlib import Path

from attrs import evolve

from vgpud.config.address import Address
from vgpud.config.runtime import PATH_BYTES_MAX
from vgpud.config.schema import Config, Socket
from vgpud.control.protocol import control_path
from vgpud.daemon.folder import Folder, give_to_group
from vgpud.daemon.stale import make_room, sweep
from vgpud.errors import ConfigurationError

# Enough for a host that starts all of its machines at once.
BACKLOG = 128
MEETING_SUFFIX = ".machines"
MACHINE_SEPARATOR = "."


class SocketFile:
    """The file of a socket that was bound in ``folder``, which this owns."""

    def __init__(self, folder: Folder, name: str, status: os.stat_result) -> None:
        self._folder = folder
        self._name = name
        self._identity = _identity(status)

    def remove(self) -> None:
        # Another program may have replaced the file meanwhile; then it is not ours to remove.
        with self._folder:
            found = self._folder.status(self._name)
            if found is not None and _identity(found) == self._identity:
                self._folder.unlink(self._name)


class Listener:
    """``end`` is listening, or connected when not ``listening``; its ``file`` is removed when it
    closes.
    """

    def __init__(self, end: socket.socket, listening: bool, file: SocketFile | None = None) -> None:
        self.end = end
        self.listening = listening
        self._file = file

    def close(self) -> None:
        if self._file is not None:
            self._file.remove()
            self._file = None
        self.end.close()


def open_listener(options: Socket) -> Listener:
    """The socket that the configuration names; ``ConfigurationError`` when there can be none."""
    listener = _open_listener(options)
    # The sender of its first message tells whose machine it is.  That message may come before we
    # look; accepted connections inherit this option.
    listener.end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return listener


def _open_listener(options: Socket) -> Listener:
    # With socket activation there is also a path, at which the descriptor listens already.
    if options.fd is not None:
        return _inherited(options.fd)
    if options.path is not None:
        _check_length(options.path)
        return _listen(options.path, options)
    raise ConfigurationError("no socket to serve: give --socket-path PATH or --fd N")


def _check_length(path: Path) -> None:
    """We could listen at a longer path, but no front-end could connect to it."""
    length = len(os.fsencode(path))
    if length > PATH_BYTES_MAX:
        raise ConfigurationError(
            f"{path}: this path has {length} bytes, but a socket's may have at most "
            f"{PATH_BYTES_MAX}"
        )


def open_control_listener(options: Socket) -> Listener | None:
    """The control socket beside the main one, for its owner and group only; None for an inherited
    socket without a path.
    """
    return None if options.path is None else listen_for_control(options.path, options)


def listen_for_control(path: Path, options: Socket) -> Listener:
    """The control socket beside that path; ``ConfigurationError`` when there can be none."""
    return listen_beside(control_path(path), options)


def listen_beside(path: Path, options: Socket) -> Listener:
    """A socket at that path, for those who may use the control socket."""
    return _listen(path, evolve(options, mode=options.mode & 0o660))


def open_view_listener(config: Config) -> Listener | None:
    """The socket for viewers of the only machine; None if none is configured.
    ``ConfigurationError``.
    """
    address = config.view.address
    if address is None:
        return None
    if address.path is None:
        return _listen_at_port(address)
    listener = listen_beside(address.path, config.socket)
    # Sockets of single machines: this path is ours, so nobody serves them.
    first = f"{address.path.name}{MACHINE_SEPARATOR}"
    sweep(address.path.parent, lambda name: name.startswith(first))
    return listener


def machine_view_path(main: Path, name: str) -> Path:
    """Where viewers of that machine connect; ``name`` is in a file name's form."""
    return main.with_name(f"{main.name}{MACHINE_SEPARATOR}{name}")


def _listen_at_port(address: Address) -> Listener:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with ExitStack() as unless_made:
        end = unless_made.enter_context(socket.socket(family, socket.SOCK_STREAM))
        try:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            end.bind((address.host, address.port))
            end.listen(BACKLOG)
        except OSError as error:
            where = f"{address.host}:{address.port}"
            raise ConfigurationError(f"view.address: {where}: {error.strerror}") from error
        unless_made.pop_all()
    return Listener(end, listening=True)


def open_meeting_folder(options: Socket, owned: ExitStack) -> Folder | None:
    """The folder beside the main socket where sessions listen for the next daemon; ``owned`` closes
    it, and removes it if it is empty.  None for a socket without a path.
    """
    if options.path is None:
        return None
    name = options.path.name + MEETING_SUFFIX
    try:
        parent = owned.enter_context(Folder.open(options.path.parent))
    except OSError as error:
        raise _unusable(options.path, error) from error
    folder = owned.enter_context(parent.private(name))
    owned.callback(parent.remove, name)
    return folder


def _listen(path: Path, options: Socket) -> Listener:
    group = group_of(options)
    with ExitStack() as unless_made:
        try:
            folder = unless_made.enter_context(Folder.open(path.parent))
            make_room(folder, path)
            end = unless_made.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            folder.bind(end, path.name, options.mode)
            bound = folder.open_bound(path.name)
            unless_made.callback(os.close, bound)
            # From here on our file exists, and must be removed after an error.
            file = SocketFile(folder, path.name, os.fstat(bound))
            unless_made.callback(file.remove)
            if group is not None:
                give_to_group(bound, group)
            end.listen(BACKLOG)
        except OSError as error:
            raise _unusable(path, error) from error
        unless_made.pop_all()
    os.close(bound)
    return Listener(end, True, file)


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    if error.errno == errno.ENOENT:
        return ConfigurationError(f"{path}: there is no folder {path.parent}")
    return ConfigurationError(f"{path}: {error.strerror or error}")


def group_of(options: Socket) -> int | None:
    """The group that the configuration gives the sockets to."""
    return None if options.group is None else _group_id(options.group)


def _group_id(group: str) -> int:
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigurationError(f"socket.group: there is no group {group}") from None


def _inherited(descriptor: int) -> Listener:
    """A socket that was opened by whoever started this program."""
    try:
        end = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigurationError(f"--fd {descriptor}: {error.strerror}") from error
    end.set_inheritable(False)
    if end.family != socket.AF_UNIX or end.type != socket.SOCK_STREAM:
        end.detach()
        raise ConfigurationError(f"--fd {descriptor}: not a stream socket of the family AF_UNIX")
    listening = end.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return Listener(end, listening=bool(listening))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
