# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a command's function returns: the response, or that it comes later."""

import errno
from typing import Any, NamedTuple

from vgpud.wire.layout import pack
from vgpud.wire.virtio_gpu import (
    VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
    VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
    VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID,
    VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
    VIRTIO_GPU_RESP_ERR_UNSPEC,
    VIRTIO_GPU_RESP_OK_NODATA,
    virtio_gpu_ctrl_hdr,
)

# Errors of the data plane or the session as responses; all others are ERR_UNSPEC.
RESPONSES = {
    errno.ENOENT: VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
    errno.EEXIST: VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
    errno.ESRCH: VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
    errno.EALREADY: VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
    errno.ENODEV: VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID,
    errno.EINVAL: VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
    errno.ENOMEM: VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
    errno.ENOSPC: VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
    errno.EMFILE: VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
    errno.ENFILE: VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
}


class Response(NamedTuple):
    """A response; ``body`` is what follows its header."""

    type: int
    body: bytes = b""

    def packed(self) -> bytes:
        """The response's bytes.  Whoever has the request puts fence and context into the header."""
        return pack(virtio_gpu_ctrl_hdr(self.type)) + self.body


class Later(NamedTuple):
    """The command is answered when something else has been; its chain stays in flight."""


OK = Response(VIRTIO_GPU_RESP_OK_NODATA)
LATER = Later()

Answer = Response | Later


def with_body(response_type: int, body: tuple[Any, ...]) -> Response:
    """A response with a structure after its header."""
    return Response(response_type, pack(body))


def refusal(error: int) -> Response:
    """The response for an errno."""
    return Response(RESPONSES.get(error, VIRTIO_GPU_RESP_ERR_UNSPEC))
