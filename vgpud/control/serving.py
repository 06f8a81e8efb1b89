# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""How a request on the control socket is answered, in the daemon and in a session."""

from collections.abc import Awaitable, Callable, Sequence

import trio
from loguru import logger

from vgpud.control.protocol import (
    ControlError,
    Fields,
    NoRequestError,
    failure,
    read_request,
    result,
)
from vgpud.link import rights

Answer = tuple[Fields, list[int]]
"""The fields of a result, and descriptors that go with it, which the caller has to close."""
Command = Callable[..., Awaitable[Answer]]


async def answer(table: dict[str, Command], line: bytes, others: Sequence[str] = ()) -> Answer:
    """The answer to a request's line, by a table of commands; ``ControlError`` says why there is
    none. ``others`` are commands that another process carries out.
    """
    command, arguments = read_request(line)
    function = table.get(command)
    if function is None:
        raise ControlError(
            f"there is no command {command}; there are {', '.join([*table, *others])}"
        )
    try:
        answering = function(**arguments)
    except TypeError:
        raise ControlError(f"{command} has no such arguments: {', '.join(arguments)}") from None
    return await answering


async def reply(connection: trio.socket.SocketType, answering: Awaitable[Answer | None]) -> bool:
    """Sends the answer, or why there is none; false when this connection is over, or when another
    process goes on with it (the answer is None).
    """
    try:
        answered = await answering
    except ControlError as error:
        await send(connection, failure(str(error)), [])
        return not isinstance(error, NoRequestError)
    except Exception:
        logger.exception("a request on the control socket has no answer")
        await send(connection, failure("a mistake in the daemon: see its log"), [])
        return False
    if answered is None:
        return False
    fields, descriptors = answered
    try:
        await send(connection, result(fields), descriptors)
    finally:
        rights.close(descriptors)
    return True


async def send(connection: trio.socket.SocketType, line: bytes, descriptors: list[int]) -> None:
    """The whole line, descriptors with its first byte."""
    sent = await connection.sendmsg([line], rights.pack(descriptors))
    while sent < len(line):
        sent += await connection.send(line[sent:])
