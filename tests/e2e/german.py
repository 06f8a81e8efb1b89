# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A German keyboard without dead keys on the guest's console, as its keys have it: their characters without AltGr, Shift or with them.

The guest's kernel has a US keyboard; busybox' dumpkmap and loadkmap read and write the table of it: "bkeymap", a byte for each of 256
combinations of modifiers, and for each that is there the values of 128 keys (<linux/keyboard.h>).
"""

from __future__ import annotations

import struct

from .shell import GuestShell

HEADER = len("bkeymap") + 256
TABLE = struct.Struct("<128H")
PLAIN, SHIFT, ALTGR = range(3)
KT_LETTER = 11 << 8
"""Of a key that Caps Lock changes."""

# Of each row of keys the number of the first (<linux/input-event-codes.h>), and what they have.
KEYS = {
    PLAIN: {2: "1234567890ß", 16: "qwertzuiopü+", 30: "asdfghjklöä^", 43: "#yxcvbnm,.-", 86: "<"},
    SHIFT: {2: '!"§$%&/()=?`', 16: "QWERTZUIOPÜ*", 30: "ASDFGHJKLÖÄ°", 43: "'YXCVBNM;:_", 86: ">"},
    ALTGR: {3: "²³", 8: "{[]}\\", 16: "@", 27: "~", 50: "µ", 86: "|"},
}


def use_german_keyboard(guest: GuestShell) -> None:
    whole = bytearray.fromhex(guest.run("dumpkmap | xxd -p").replace("\n", ""))
    for number, rows in KEYS.items():
        at = HEADER + number * TABLE.size
        values = list(TABLE.unpack_from(whole, at))
        for first, characters in rows.items():
            values[first : first + len(characters)] = map(_value, characters)
        TABLE.pack_into(whole, at, *values)
    guest.run(f"echo {whole.hex()} | xxd -r -p | loadkmap")


def _value(character: str) -> int:
    return ord(character) | (KT_LETTER if character.isalpha() and character.isascii() else 0)
