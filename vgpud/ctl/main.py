# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``vgpuctl``: carries out a command line, and says in a line what went wrong."""

import os
import signal
import sys
from collections.abc import Sequence

from vgpud.control.protocol import ControlError
from vgpud.ctl.arguments import parser
from vgpud.ctl.commands import COMMANDS
from vgpud.errors import EXIT_OK

EXIT_FAILED = 1
# As of a program that the signal has ended, as most are.
EXIT_NOBODY_READS = 128 + signal.SIGPIPE


def run(argv: Sequence[str]) -> int:
    """The program with these arguments; returns its exit status."""
    arguments = parser().parse_args(argv)
    try:
        status = COMMANDS[arguments.command].run(arguments)
        # What cannot be written is to be known here, and not when all is over.
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
    """What is left in the buffer is written at the end of the program, which would complain again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
