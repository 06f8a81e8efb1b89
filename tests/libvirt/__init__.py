# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Domains whose GPU libvirt starts by itself, under libvirt's own daemon."""
