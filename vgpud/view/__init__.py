# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The view process: serves one viewer of a machine's screen, and can do nothing else."""
