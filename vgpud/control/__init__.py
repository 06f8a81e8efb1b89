# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What ``vgpuctl`` and the daemon say to each other on the control socket."""
