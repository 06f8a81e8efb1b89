# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A device process that nobody has forked: an interpreter of its own, with two descriptors as its arguments."""

PROGRAM = (
    "import sys; from vgpud.device.process import main; sys.exit(main(*map(int, sys.argv[1:])))"
)
