# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Whether a test can have mounts of its own: by root, and not in a chroot whose root is no mount."""

import subprocess

import pytest


def can_unshare(*flags: str) -> bool:
    try:
        return not subprocess.run(["unshare", *flags, "true"], stderr=subprocess.DEVNULL).returncode
    except OSError:
        return False


takes_own_mounts = pytest.mark.skipif(
    not can_unshare("--mount"), reason="no mount namespace of one's own here"
)
