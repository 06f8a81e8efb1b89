# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl doctor``: what this host can do, why not more, and the line to run to change that.

A check is a small function in a table (`checks`).  It asks a `Host` and nothing else, so that a
test can make up any host.  It needs neither root nor a daemon, and changes nothing.
"""
