# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The device process: the control virtqueue and the renderer of one virtual machine's GPU.

Nothing here imports an event loop, a logger or another heavy package: one such process is started
for each front-end, and again each time that a renderer dies.
"""
