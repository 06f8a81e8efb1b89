# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""QEMU's *Vhost-user Protocol*, the back-end's side: structures, framing, the table of requests."""
