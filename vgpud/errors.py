# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The few kinds of error, one for each who can be at fault, and the program's exit codes."""

# As sysexits.h numbers them.
EXIT_OK = 0
EXIT_RENDERER_UNAVAILABLE = 69  # EX_UNAVAILABLE
EXIT_INTERNAL = 70  # EX_SOFTWARE
EXIT_CONFIGURATION = 78  # EX_CONFIG


class GuestError(Exception):
    """The guest is at fault; it gets ``response_type``, a VIRTIO_GPU_RESP_ERR_*, and the text is
    for the log.
    """

    def __init__(self, response_type: int, text: str) -> None:
        super().__init__(text)
        self.response_type = response_type


class FrontendError(Exception):
    """The VMM is at fault; it loses its connection."""


class ConfigurationError(Exception):
    """The administrator is at fault; ``mistakes`` has one line for each."""

    exit_code = EXIT_CONFIGURATION

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class RendererError(Exception):
    """A renderer cannot start, or has failed for good; ``exit_code`` is for the process that needs
    it.
    """

    def __init__(self, reason: str, exit_code: int = EXIT_RENDERER_UNAVAILABLE) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


def first_error(group: BaseException) -> BaseException:
    """The first error in a group: what is raised inside a nursery leaves it in one."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
