# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl``, also as ``python -m vgpud.ctl``."""

import sys

from vgpud.ctl.main import run


def main() -> int:
    """The program; returns its exit status."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
