# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A file that a device process wants mapped into its VMM: looked at before it is passed on.

What is mapped there is touched by the guest's processor.  If the file could be made shorter, or never
was as long as it is said to be, that would end the VMM (SIGBUS); if reading it could wait for
somebody, that would stop it.  So it is memory: a memory file, or a buffer of a GPU's driver.
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
    """The device and the number of the inode of memory that ``length`` bytes from ``offset`` can be
    mapped from, to be read and written.  OSError: EINVAL for what no file has, EOPNOTSUPP for what is
    no memory of a fixed size.
    """
    if offset % PAGE:
        raise OSError(errno.EINVAL, f"a file is not mapped from its byte {offset}")
    if not _sealed(descriptor) and not _is_dma_buffer(descriptor):
        raise OSError(errno.EOPNOTSUPP, "what is to be mapped is no memory of a fixed size")
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDWR:
        raise OSError(errno.EOPNOTSUPP, "what is to be mapped cannot be written")
    status = os.fstat(descriptor)
    # The last page is there as a whole.
    if offset + length > -(-status.st_size // PAGE) * PAGE:
        raise OSError(errno.EINVAL, f"{length} bytes at {offset} of a file of {status.st_size}")
    return status.st_dev, status.st_ino


def _is_dma_buffer(descriptor: int) -> bool:
    """Whether it is a DMA buffer, whose size never changes.  By the name that the kernel gives such: to ask a file's own file
    system what it is may take for ever.
    """
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith("/dmabuf:")
    except OSError:
        return False


def _sealed(descriptor: int) -> bool:
    """Whether it is a memory file that nobody can make shorter: only such have seals."""
    try:
        return bool(fcntl.fcntl(descriptor, F_GET_SEALS) & F_SEAL_SHRINK)
    except OSError:
        return False
