# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl``: shows what a running daemon does, and changes the few things that can be changed."""
