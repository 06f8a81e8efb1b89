# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The one narrow protocol between the daemon and a device process, descriptors included."""
