# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A session gives up what it does not need before it reads anything from a VMM or a device
process.
"""

from loguru import logger

from vgpud.walls import landlock, missing, seccomp


def confine() -> None:
    """Called when everything exists that is made only once.  The log names what cannot be given up
    here.
    """
    doors = missing(landlock.confine_to_programs) + missing(seccomp.confine, "session")
    for door in doors:
        logger.warning("the session process is not confined in full: {}", door)
