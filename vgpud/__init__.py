# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A virtual GPU for virtual machines: the VIRTIO GPU device as a vhost-user backend."""

__version__ = "0.1.0"
