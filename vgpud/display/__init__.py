# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Where pictures go: QEMU's display socket, or nowhere."""
