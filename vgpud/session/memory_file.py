# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A file that a device process wants mapped into its VMM, which is checked before it is passed on.

What is mapped there is touched by the guest's processor.  If the file could be made shorter, or was
never as long as it is said to be, that would end the VMM (SIGBUS); if reading it could block, that
would stop the VMM.  So it must be memory: a memory file, or a buffer of a GPU's driver.
"""

import errno
import fcntl
import os
from pathlib import Path

from vgpud.session.shared_region import PAGE

# linux/fcntl.h; Python has no names for them everywhere.
F_GET_SEALS = 1034
F_SEAL_SHRINK = 2


def check(descriptor: int, offset: int, length: int) -> tuple[int, int]:
    """The device and the inode of memory of which ``length`` bytes from ``offset`` can be mapped
    for reading and writing.  OSError: EINVAL for a range that the file does not have, EOPNOTSUPP
    for anything but memory of a fixed size.
    """
    if offset % PAGE:
        raise OSError(errno.EINVAL, f"a file cannot be mapped from its byte {offset}")
    if not _sealed(descriptor) and not _is_dma_buffer(descriptor):
        raise OSError(errno.EOPNOTSUPP, "the file to map is not memory of a fixed size")
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDWR:
        raise OSError(errno.EOPNOTSUPP, "the file to map cannot be written")
    status = os.fstat(descriptor)
    # The last page exists as a whole.
    if offset + length > -(-status.st_size // PAGE) * PAGE:
        raise OSError(errno.EINVAL, f"{length} bytes at {offset} of a file of {status.st_size}")
    return status.st_dev, status.st_ino


def _is_dma_buffer(descriptor: int) -> bool:
    """Whether it is a DMA buffer, whose size never changes; known by the kernel's name for it,
    since asking the file's own file system may take for ever.
    """
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith("/dmabuf:")
    except OSError:
        return False


def _sealed(descriptor: int) -> bool:
    """Whether it is a memory file that nobody can make shorter: only memory files have seals."""
    try:
        return bool(fcntl.fcntl(descriptor, F_GET_SEALS) & F_SEAL_SHRINK)
    except OSError:
        return False
