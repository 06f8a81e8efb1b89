# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Objects whose references are no longer counted, so that using one does not write to it.

From CPython 3.12 on, an object whose count of references has its highest value is *immortal* (PEP 683): the
interpreter leaves the count alone.  The interpreter's own constants are immortal.  What is imported
before a fork can be made immortal too, and then forked processes go on sharing its pages.
"""

import ctypes
import gc
import sys
from types import CodeType

# The lower half of ob_refcnt, an object's first field: Include/object.h of CPython 3.12 and 3.13, Include/refcount.h of
# 3.14, without free threading.
IMMORTAL = 0xFFFFFFFF
# Lower counts are immortal too: 3.14's interpreter subtracts one in places where it knows that an
# object is not one of its own constants.
LEAST_IMMORTAL = 3 << 30
COUNT_BYTES = 4
LAID_OUT_SO = ((3, 12), (3, 13), (3, 14))
ADDRESS_SPACE_BYTES = 1 << 47


def possible() -> bool:
    """Whether this interpreter has immortal objects, and its counts are where we expect them."""
    return (
        sys.implementation.name == "cpython"
        and sys.version_info[:2] in LAID_OUT_SO
        and "t" not in sys.abiflags
        and sys.maxsize > 1 << 32
        and sys.byteorder == "little"
    )


def make_immortal() -> None:
    """Makes all existing objects immortal: none of them is ever freed.  Does nothing where the
    interpreter cannot.
    """
    if not possible():
        return
    counts = (ctypes.c_uint32 * (ADDRESS_SPACE_BYTES // COUNT_BYTES)).from_address(0)
    waiting = gc.get_objects()
    while waiting:
        thing = waiting.pop()
        place = id(thing) // COUNT_BYTES
        # Then we have seen it, or it is the interpreter's own: what that refers to is among the
        # collector's objects.
        if counts[place] >= LEAST_IMMORTAL or thing is waiting:
            continue
        counts[place] = IMMORTAL
        waiting += gc.get_referents(thing)
        if isinstance(thing, CodeType):
            # The collector does not know what code objects refer to.
            waiting += (
                thing.co_consts,
                thing.co_names,
                thing.co_filename,
                thing.co_name,
                thing.co_qualname,
            )
