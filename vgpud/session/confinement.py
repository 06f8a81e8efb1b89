# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A session gives up what it does not need before it hears a word of a VMM's or a device process's."""

from loguru import logger

from vgpud.walls import landlock, missing, seccomp


def confine() -> None:
    """When everything is there that is made once.  What cannot be given up here is named in the log."""
    doors = missing(landlock.confine_to_programs) + missing(seccomp.confine, "session")
    for door in doors:
        logger.warning("the session process is not confined in full: {}", door)
