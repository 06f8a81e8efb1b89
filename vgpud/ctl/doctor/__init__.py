# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl doctor``: what this host can do, why not more, and the line to run for it.

A check is a small function of a table (`checks`); it asks a `Host` and nothing else, so that any host can be made up for a
test.  It needs neither root nor a daemon, and changes nothing.
"""
