# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the daemon, its spawner and its sessions say to each other; docs/links.md has the rules."""
