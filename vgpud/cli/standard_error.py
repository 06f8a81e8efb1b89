# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Sends standard error to systemd's journal when whoever started us throws it away, as libvirt
does.

By sd_journal_stream_fd(3), as systemd-cat(1) does it, of libsystemd, which is there wherever
systemd is.
"""

import ctypes
import os
import stat
import syslog

NULL = os.makedev(1, 3)  # Linux, Documentation/admin-guide/devices.txt
LEVEL_PREFIX = 1  # "<6>" in front of a line is its priority


def keep_standard_error() -> None:
    """Only where all three standard descriptors are /dev/null, which no shell does on its own;
    otherwise nothing changes.
    """
    if not all(map(_goes_nowhere, range(3))):
        return
    try:
        libsystemd = ctypes.CDLL("libsystemd.so.0")
    except OSError:
        return
    journal = libsystemd.sd_journal_stream_fd(b"vgpud", syslog.LOG_INFO, LEVEL_PREFIX)
    if journal < 0:
        return
    os.dup2(journal, 2)
    os.close(journal)
    status = os.fstat(2)
    # systemd.exec(5): how a program knows that it speaks to systemd's journal.
    os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"


def _goes_nowhere(descriptor: int) -> bool:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == NULL
