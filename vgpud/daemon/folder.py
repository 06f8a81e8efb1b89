# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A folder by its descriptor, for the sockets in it.

A socket's folder may belong to somebody whom we do not trust, who may replace files in it at any
moment. So the path is followed once; after that everything is done in this one folder, and files
are passed on as descriptors, not as names.
"""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vgpud.config.runtime import ADDRESS_BYTES
from vgpud.errors import ConfigurationError

_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Folder:
    """Owns ``descriptor``; ``path`` is for messages. The folder's own path and a name need not fit
    together into a socket's address.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """``OSError`` when there is no such folder."""
        return cls(os.open(path, _FLAGS), path)

    def private(self, name: str) -> "Folder":
        """The folder of that name in this one, for our user only; it is made if there is none.
        ``ConfigurationError`` when something else has the name.
        """
        path = self.path / name
        try:
            _make(self._descriptor, name)
            folder = Folder(os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=self._descriptor), path)
        except NotADirectoryError:  # which a symbolic link is as well
            raise ConfigurationError(f"{path}: exists but is not a folder") from None
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or error}") from error
        try:
            _check_private(os.fstat(folder.fileno()), path)
        except ConfigurationError:
            folder.close()
            raise
        return folder

    def remove(self, name: str) -> None:
        """A folder in this one, unless there is something in it."""
        with suppress(OSError):
            os.rmdir(name, dir_fd=self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def names(self) -> list[str]:
        """The names of everything in it."""
        return sorted(path.name for path in Path(_by(self._descriptor)).iterdir())

    def status(self, name: str) -> os.stat_result | None:
        """Of the file itself, even if it is a symbolic link; None when there is no such file."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return None

    def unlink(self, name: str) -> None:
        """Removes a file; it is no error if it has gone already."""
        try:
            os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return

    def bind(self, end: socket.socket, name: str, mode: int) -> None:
        """The file never has more permissions than ``mode``, not even for a moment; ``OSError``,
        also for a name that exists already.

        Other programs see the address that is used here, so it is the path, if that fits and still
        leads to this folder.  (If it leads elsewhere a moment later, there is an unused socket
        elsewhere, and none here.) Not while another thread makes files: a process has one umask.
        """
        address = self._address(name)
        mask = os.umask(0o777 & ~mode)
        try:
            if len(os.fsencode(address)) < ADDRESS_BYTES:
                end.bind(address)
            else:
                self._bind_by_short_name(end, name)
        finally:
            os.umask(mask)

    def _bind_by_short_name(self, end: socket.socket, name: str) -> None:
        """A name that is too long for an address is given to the file afterwards."""
        short = f".{os.urandom(8).hex()}"
        end.bind(self._address(short))
        try:
            # Unlike renaming it this replaces nothing.
            os.link(short, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        finally:
            self.unlink(short)

    def _address(self, name: str) -> str:
        path = os.fspath(self.path / name)
        with suppress(OSError):
            fits = len(os.fsencode(path)) < ADDRESS_BYTES
            if fits and os.path.samestat(self.path.stat(), os.fstat(self._descriptor)):
                return path
        return f"{_by(self._descriptor)}/{name}"

    def connect(self, end: socket.socket, name: str) -> None:
        """``OSError`` also for a symbolic link, wherever it leads."""
        file = self.open_file(name)
        try:
            end.connect(_by(file))
        finally:
            os.close(file)

    def open_file(self, name: str) -> int:
        """A descriptor that stands for the file itself, with O_PATH, and is the caller's."""
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=self._descriptor)

    def open_bound(self, name: str) -> int:
        """As :meth:`open_file`, for the socket that was just bound; ``ConfigurationError`` when
        another file is in its place.
        """
        file = self.open_file(name)
        status = os.fstat(file)
        # More than one name would mean that somebody has linked another of our sockets here.
        ours = stat.S_ISSOCK(status.st_mode) and status.st_uid == os.geteuid()
        if not ours or status.st_nlink != 1:
            os.close(file)
            raise ConfigurationError(
                f"{self.path / name}: somebody has replaced the socket with another file"
            )
        return file


def give_to_group(file: int, group: int) -> None:
    """``file`` may be a descriptor with O_PATH, which fchown(2) does not take."""
    os.chown(_by(file), -1, group)


def bind_in(
    folder: Folder, name: str, kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket:
    """A socket for our user only, bound but not listening; ``OSError``."""
    end = socket.socket(socket.AF_UNIX, kind)
    try:
        folder.bind(end, name, 0o600)
    except BaseException:
        end.close()
        raise
    return end


def _make(parent: int, name: str) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return


def _check_private(status: os.stat_result, path: Path) -> None:
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"{path}: the folder belongs to another user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationError(f"{path}: others may use the folder (run chmod 700 on it)")


def _by(descriptor: int) -> str:
    """A path that leads to what the descriptor stands for."""
    return f"/proc/self/fd/{descriptor}"
