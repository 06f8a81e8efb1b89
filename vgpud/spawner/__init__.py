# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The spawner: a process with everything imported, no event loop and no thread, that forks sessions and device
processes in milliseconds, knows which belong together, ends and reaps them.
"""
