# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl``: carries out a command line, and says in one line what went wrong."""

import os
import signal
import sys
from collections.abc import Sequence

from vgpud.control.protocol import ControlError
from vgpud.ctl.arguments import parser
from vgpud.ctl.commands import COMMANDS
from vgpud.errors import EXIT_OK

EXIT_FAILED = 1
# The status that a shell shows for a program that SIGPIPE has killed, as it does most.
EXIT_NOBODY_READS = 128 + signal.SIGPIPE


def run(argv: Sequence[str]) -> int:
    """The program with these arguments; returns its exit status."""
    arguments = parser().parse_args(argv)
    try:
        status = COMMANDS[arguments.command].run(arguments)
        # A failed write must be noticed here, not when the interpreter exits.
        sys.stdout.flush()
    except BrokenPipeError:
        _write_nowhere()
        return EXIT_NOBODY_READS
    except ControlError as error:
        return _failed(str(error))
    except OSError as error:
        _write_nowhere()
        return _failed(_sentence(error))
    except KeyboardInterrupt:
        return EXIT_OK
    return status


def _failed(text: str) -> int:
    sys.stderr.write(f"vgpuctl: {text}\n")
    return EXIT_FAILED


def _sentence(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename is not None else what


def _write_nowhere() -> None:
    """The interpreter writes what is left in the buffer when it exits, and would fail once more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
