# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What ``vgpud`` does: reads the command line and the configuration, then serves."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from vgpud.cli import arguments
from vgpud.cli.activation import take_socket
from vgpud.cli.renderer_check import check_renderer
from vgpud.cli.standard_error import keep_standard_error
from vgpud.cli.view_check import check_view, read_layout
from vgpud.config.doubts import missing_instance
from vgpud.config.load import Loaded, load
from vgpud.config.machine_files import all_machine_files, read_machine_file
from vgpud.config.runtime import default_socket, make_runtime_folder
from vgpud.config.schema import Config, Socket
from vgpud.config.search import CONFIG_VARIABLE, INSTANCE_VARIABLE, find_files
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
        # The reader of our output has left.  Python flushes standard output at exit, which must not
        # fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERNAL
    except Exception as error:
        traceback.print_exc()
        sys.stderr.write(f"vgpud: internal error: {type(error).__name__}: {error}\n")
        return EXIT_INTERNAL


def _act(parsed: argparse.Namespace) -> int:
    loaded = _load(parsed)
    if parsed.print_config or parsed.check_config:
        for doubt in loaded.doubts:
            sys.stderr.write(f"vgpud: warning: {doubt}\n")
        return _print_config(loaded) if parsed.print_config else _report_valid(loaded)
    return _serve(parsed, loaded)


def _load(parsed: argparse.Namespace) -> Loaded:
    instance = _instance(parsed)
    files = find_files(
        parsed.config or os.environ.get(CONFIG_VARIABLE) or None,
        instance,
        os.environ,
        os.geteuid() == 0,
    )
    loaded = load(parsed.flags, os.environ, files, parsed.mistakes)
    if instance is None or files.instance is not None:
        return loaded
    return evolve(loaded, doubts=(*loaded.doubts, missing_instance(instance, files.folders)))


def _instance(parsed: argparse.Namespace) -> str | None:
    return parsed.instance or os.environ.get(INSTANCE_VARIABLE) or None


def _print_config(loaded: Loaded) -> int:
    from vgpud.config.dump import dump

    sys.stdout.write(dump(loaded))
    sys.stdout.flush()
    return EXIT_OK


def _report_valid(loaded: Loaded) -> int:
    own = tuple(all_machine_files(loaded.folders))
    mistakes = [mistake for path in own for mistake in _mistakes_of(path, loaded.config)]
    if mistakes:
        raise ConfigurationError(*mistakes)
    for path in (*loaded.files, *own):
        sys.stdout.write(f"{path}: valid\n")
    if not loaded.files:
        sys.stdout.write("no configuration file: the built-in configuration is used\n")
    sys.stdout.flush()
    return EXIT_OK


def _mistakes_of(machine_file: Path, config: Config) -> tuple[str, ...]:
    try:
        read_machine_file(machine_file, config)
    except ConfigurationError as error:
        return error.mistakes
    return ()


def _serve(parsed: argparse.Namespace, loaded: Loaded) -> int:
    instance = _instance(parsed)
    given = take_socket(os.environ)
    default = default_socket(os.environ, os.geteuid(), instance)

    def with_socket(loaded: Loaded) -> Loaded:
        socket = _chosen_socket(loaded.config.socket, given, default)
        return evolve(loaded, config=evolve(loaded.config, socket=socket))

    bare = given is None and loaded.config.socket.path is None and loaded.config.socket.fd is None
    loaded = with_socket(loaded)
    check_renderer(loaded.config)
    check_view(loaded.config.view)
    layout = read_layout(loaded.config.view)
    if bare and loaded.config.socket.path is not None:
        _make_folder(loaded.config.socket.path.parent)
    from vgpud.daemon import serve  # the event loop and the logger, which nothing above needs

    return serve(loaded, instance, lambda: with_socket(_load(parsed)), bare, layout)


def _chosen_socket(socket: Socket, given: int | None, default: Path | None) -> Socket:
    """What is configured, with the socket that a service manager has opened, or otherwise the
    default socket; ``ConfigurationError`` when there is no place for that.
    """
    if given is not None:
        return evolve(socket, fd=given)
    if socket.path is not None or socket.fd is not None:
        return socket
    if default is None:
        raise ConfigurationError(
            "no socket to serve: you have no runtime folder (XDG_RUNTIME_DIR is not set); "
            "give --socket-path PATH or --fd N"
        )
    return evolve(socket, path=default)


def _make_folder(folder: Path) -> None:
    try:
        make_runtime_folder(folder, os.geteuid())
    except OSError as error:
        raise ConfigurationError(f"{folder}: {error.strerror}") from None
