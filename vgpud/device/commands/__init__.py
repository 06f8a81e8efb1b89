# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The commands that Python implements, one module for each group of the specification.

Each is a function ``(device, request, command) -> answer``; ``command`` is the structure after the
header, and what follows that is ``request.rest``.  A guest's mistake is raised as ``GuestError``,
or as an ``OSError`` of the data plane.  What the session must be able to rebuild is sent to it
before the function returns, so before the guest is answered.
"""

from typing import NamedTuple

from vgpud.wire.virtio_gpu import virtio_gpu_ctrl_hdr


class Request(NamedTuple):
    """A command of the guest; ``chain`` is for its answer."""

    chain: int
    hdr: virtio_gpu_ctrl_hdr
    rest: bytes
