# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""End to end: a real QEMU, a real Linux guest, and the pixels that QEMU shows.

The environment may choose other parts:

- ``E2E_BACKEND``: ``vgpud``; ``c-peer`` (QEMU's own ``vhost-user-gpu``) and ``in-process`` (QEMU's own device) prove the tests
- ``E2E_COMMAND``: the vgpud to start
- ``E2E_QEMU``: the QEMU where a test does not ask for 11.1
- ``E2E_KERNEL``: the Debian of the guest's kernel: ``trixie`` (6.12), ``trixie,trixie-backports`` (7.3), ``unstable``
- ``E2E_HOST``: the Debian where the tests of Vulkan start vgpud: ``trixie``, ``trixie,trixie-backports`` (a newer Mesa), ``unstable``
- ``E2E_GFXSTREAM``: a folder with librutabaga_gfx_ffi.so.0 and libgfxstream_backend.so.0, built on Debian 13, for the tests of gfxstream itself
- ``E2E_LONG``: not empty: what takes minutes more, too, such as programs that draw with Vulkan under weston
- ``E2E_ACCELERATOR``: ``tcg`` (emulation) or ``kvm``
- ``E2E_EVIDENCE``: where a failed test leaves logs and pictures; by default ``build/e2e``
"""
