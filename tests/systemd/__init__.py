# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""vgpud's units under a systemd that is process 1 of a container root."""
