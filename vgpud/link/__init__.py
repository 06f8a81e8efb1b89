# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The one narrow protocol between the session and a device process, descriptors included."""
