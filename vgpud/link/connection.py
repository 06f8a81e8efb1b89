# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device process's end of the link: it blocks when it sends, never when it receives."""

import socket
from collections.abc import Iterator, Sequence

from vgpud.link import rights
from vgpud.link.codec import Decoder, LinkClosed, LinkError, encode
from vgpud.link.messages import Message

RECEIVE_BYTES = 64 * 1024


class Connection:
    """Owns the socket.  Nobody but the daemon writes to it, so what is broken here ends this
    process alone.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        self._decoder = Decoder()

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._socket.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Sends a message with copies of the descriptors; ``LinkClosed`` when the daemon has gone.
        """
        data = encode(message)
        try:
            # The kernel ties descriptors to the first byte of a write: what is left goes without
            # them.
            sent = self._socket.sendmsg([data], rights.pack(descriptors))
            self._socket.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError):
            raise LinkClosed("the daemon has gone") from None

    def drain(self) -> Iterator[tuple[Message, list[int]]]:
        """Every message that has arrived, with its descriptors, which are closed when the next one
        is asked for.
        """
        while self._fill():
            for message, descriptors in self._decoder.messages():
                try:
                    yield message, descriptors
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
            raise LinkClosed("the daemon has gone") from None
        self._decoder.feed(data, rights.unpack(ancillary))
        if flags & socket.MSG_CTRUNC:
            raise LinkError("descriptors were lost: too many are open")
        if not data:
            raise LinkClosed("the daemon has gone")
        return True

    def close(self) -> None:
        """Closes the socket and every descriptor that no message has claimed."""
        self._decoder.close()
        self._socket.close()
