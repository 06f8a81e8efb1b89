# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The session process: holds all that one virtual machine monitor gave, and draws nothing."""
