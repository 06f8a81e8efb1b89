# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""End to end: a real QEMU, a real Linux guest, and the pixels that QEMU shows."""
