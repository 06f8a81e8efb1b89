# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device process's end of the link: it blocks when it sends, never when it receives."""

import errno
import socket
import time
from collections.abc import Callable, Collection, Sequence

from vgpud.link import rights
from vgpud.link.codec import Decoder, LinkClosedError, encode
from vgpud.link.fields import LinkError
from vgpud.link.messages import FROM_SESSION, Message

RECEIVE_BYTES = 64 * 1024
UNDER_WAY_SECONDS, UNDER_WAY_PAUSE = 5.0, 0.002

Handler = Callable[[Message, list[int]], None]


class Connection:
    """Owns the socket.  Only the session writes to it, so what is broken here ends only this
    process.
    """

    def __init__(self, descriptor: int, accepted: Collection[type[Message]] = FROM_SESSION) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        self._decoder = Decoder(accepted)

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._socket.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Sends a message with copies of the descriptors; ``LinkClosedError`` when the session has
        gone.
        """
        data = encode(message)
        try:
            # The kernel ties descriptors to the first byte of a write: the rest goes without them.
            sent = self._send_first(data, descriptors)
            self._socket.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError):
            raise LinkClosedError("the session has gone") from None
        except OSError as error:
            raise LinkError(f"{type(message).__name__} cannot be sent: {error}") from error

    def _send_first(self, data: bytes, descriptors: Sequence[int]) -> int:
        """Waits while too many descriptors of our user are under way, which may be another
        process's.
        """
        end = time.monotonic() + UNDER_WAY_SECONDS
        while True:
            try:
                return self._socket.sendmsg([data], rights.pack(descriptors))
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS or time.monotonic() > end:
                    raise
            time.sleep(UNDER_WAY_PAUSE)

    def drain(self, handler: Handler) -> None:
        """Gives every message that has arrived to ``handler``, without waiting for more.

        The handler takes the descriptors that it keeps out of the list; what it leaves is closed.
        ``LinkClosedError`` at the end of file.
        """
        while self._fill():
            for message, descriptors in self._decoder.messages():
                try:
                    handler(message, descriptors)
                finally:
                    rights.close(descriptors)

    def _fill(self) -> bool:
        """Whether something was read without waiting."""
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                RECEIVE_BYTES,
                rights.ANCILLARY_BYTES,
                socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC,
            )
        except BlockingIOError:
            return False
        except ConnectionResetError:
            raise LinkClosedError("the session has gone") from None
        self._decoder.feed(data, rights.unpack(ancillary))
        if flags & socket.MSG_CTRUNC:
            raise LinkError("descriptors were lost: too many are open")
        if not data:
            raise LinkClosedError("the session has gone")
        return True

    def close(self) -> None:
        """Closes the socket and every descriptor that no message has claimed."""
        self._decoder.close()
        self._socket.close()
