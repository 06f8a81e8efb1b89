# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Domains whose GPU libvirt itself starts, under libvirt's own daemon."""
