# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl``: looks at a running daemon, and tells it the little that can be told."""
