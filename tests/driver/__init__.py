# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A driver and a VMM of our own, for any vhost-user-gpu backend.

Unit tests, property tests, fuzz seeds and benchmarks share it.  It is pure Python and knows nothing of vgpud's
insides: what passes here over a socket passes against another backend as well.

``memory``    guest memory in memfds, an allocator
``rings``     the driver's half of split and packed virtqueues
``gpu``       commands of the GPU device, and a guest that issues them
``frontend``  the VMM's half of vhost-user
``display``   QEMU's end of the display socket
"""
