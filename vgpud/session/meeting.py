# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Where the next daemon finds a session whose daemon has died."""

import os
import socket

import trio
from loguru import logger

from vgpud.link import rights
from vgpud.link.credentials import peer_of
from vgpud.link.fields import LinkError
from vgpud.session import logs
from vgpud.session.daemon_link import DaemonLink
from vgpud.session.orders import Orders
from vgpud.tree import codec
from vgpud.tree.messages import MEETING, Meet

ONE_AT_A_TIME = 1
WORD_SECONDS = 5.0
AGAIN_SECONDS = 0.5


def listen_for_daemons(meeting: int) -> socket.socket:
    """Takes the descriptor.  Called here and not in the daemon, since SO_PEERCRED names the process
    that has called listen().
    """
    listening = socket.socket(fileno=meeting)
    listening.listen(ONE_AT_A_TIME)
    return listening


async def meet_daemons(listening: socket.socket, daemon: DaemonLink, orders: Orders) -> None:
    """Takes the links of each daemon that connects; never returns."""
    with trio.socket.from_stdlib_socket(listening) as end:
        while True:
            try:
                connection, _ = await end.accept()
            except OSError:
                await trio.sleep(AGAIN_SECONDS)
                continue
            with connection, trio.move_on_after(WORD_SECONDS):
                await _meet(connection, daemon, orders)


async def _meet(connection: trio.socket.SocketType, daemon: DaemonLink, orders: Orders) -> None:
    if peer_of(connection).user not in (0, os.geteuid()):
        return
    try:
        packet = await connection.recvmsg(
            codec.PACKET_BYTES, codec.ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
        )
        received = codec.read_packet(packet, MEETING)
    except (OSError, LinkError) as error:
        logger.warning(
            "a process that is not a daemon has tried to take this session over: {}", error
        )
        return
    if received is not None:
        _take_over(*received, daemon, orders)


def _take_over(message: Meet, descriptors: list[int], daemon: DaemonLink, orders: Orders) -> None:
    ends, reports, log = descriptors
    logs.write_to(log)
    rights.close([log])
    logs.set_up(message.level)
    daemon.use(socket.socket(fileno=ends), reports, orders.carry_out)
    daemon.say_hello()
    logger.info("another daemon has taken this session over")
