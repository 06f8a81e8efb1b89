# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What ``vgpud`` does: reads the command line and the configuration, then serves."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from attrs import evolve

from vgpud.cli import arguments
from vgpud.cli.activation import take_socket
from vgpud.cli.renderer_check import check_renderer
from vgpud.cli.standard_error import keep_standard_error
from vgpud.config.load import Loaded, load
from vgpud.config.schema import Config
from vgpud.config.search import find_files
from vgpud.errors import EXIT_INTERNAL, EXIT_OK, ConfigurationError, RendererError


def run(argv: Sequence[str]) -> int:
    """The program with these arguments; returns its exit status."""
    keep_standard_error()
    try:
        return _act(arguments.parse(argv))
    except (ConfigurationError, RendererError) as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"vgpud: {line}\n")
        return error.exit_code
    except BrokenPipeError:
        # Whoever read the output has left; nothing more can be said to it, and at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERNAL
    except Exception as error:
        traceback.print_exc()
        sys.stderr.write(f"vgpud: internal error: {type(error).__name__}: {error}\n")
        return EXIT_INTERNAL


def _act(parsed: argparse.Namespace) -> int:
    loaded = _load(parsed)
    if parsed.print_config:
        return _print_config(loaded)
    if parsed.check_config:
        return _report_valid(loaded)
    return _serve(parsed, loaded.config)


def _load(parsed: argparse.Namespace) -> Loaded:
    files = find_files(
        parsed.config or os.environ.get("VGPUD_CONFIG") or None,
        parsed.instance or os.environ.get("VGPUD_INSTANCE") or None,
        os.environ,
        os.geteuid() == 0,
    )
    return load(parsed.flags, os.environ, files, parsed.mistakes)


def _print_config(loaded: Loaded) -> int:
    from vgpud.config.dump import dump

    sys.stdout.write(dump(loaded))
    sys.stdout.flush()
    return EXIT_OK


def _report_valid(loaded: Loaded) -> int:
    for path in loaded.files:
        sys.stdout.write(f"{path}: valid\n")
    if not loaded.files:
        sys.stdout.write("no configuration file: the built-in configuration is used\n")
    sys.stdout.flush()
    return EXIT_OK


def _serve(parsed: argparse.Namespace, config: Config) -> int:
    given = take_socket(os.environ)

    def with_socket(config: Config) -> Config:
        return config if given is None else evolve(config, socket=evolve(config.socket, fd=given))

    config = with_socket(config)
    if config.socket.path is None and config.socket.fd is None:
        raise ConfigurationError("no socket to serve: give --socket-path PATH or --fd N")
    check_renderer(config.renderer)
    from vgpud.daemon import serve  # the event loop and the logger, which nothing above needs

    instance = parsed.instance or os.environ.get("VGPUD_INSTANCE") or None
    return serve(config, instance, lambda: with_socket(_load(parsed).config))
