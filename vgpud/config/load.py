# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Puts the configuration together: flags, then the environment, the instance's file, the general
file, the built-in defaults.  Each source becomes a layer of values, each with its origin; the
mistakes of all layers are collected before anything is refused.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from vgpud.config.doubts import unknown_variables
from vgpud.config.options import OPTIONS, SECTIONS, Option
from vgpud.config.schema import Config
from vgpud.config.search import Files
from vgpud.errors import ConfigurationError
from vgpud.modes import CAPSETS

# Two ways to set one thing: an earlier layer's replaces a later layer's, and one layer may not have
# both.
ALTERNATIVES = ("socket.path", "socket.fd")


@frozen
class Setting:
    """A value and where it came from, in words."""

    value: Any
    origin: str


@frozen
class Loaded:
    """A configuration; `origins` says where the value of each key came from, unless it is the
    default; `doubts` has a line for each probable mistake; ``folders`` are those in which files
    were looked for.
    """

    config: Config
    origins: dict[str, str]
    files: tuple[Path, ...]
    doubts: tuple[str, ...] = ()
    folders: tuple[Path, ...] = field(default=(), eq=False)


Layer = dict[str, Setting]


@frozen
class Flag:
    """A flag as it was given: `text` is None where it had no value."""

    option: Option
    spelling: str
    text: str | None


@frozen
class _Sources:
    """The layers, nearest first, and what is wrong in them."""

    layers: list[Layer] = field(factory=list)
    mistakes: list[str] = field(factory=list)
    doubtful: set[str] = field(factory=set)  # keys that have an unusable value in some layer

    def refuse(self, key: str, mistake: str) -> None:
        self.mistakes.append(mistake)
        self.doubtful.add(key)


def load(
    flags: Iterable[Flag],
    environment: Mapping[str, str],
    files: Files,
    mistakes: Iterable[str] = (),
) -> Loaded:
    """The configuration that the sources give together. Raises ConfigurationError with every
    mistake in them, after the `mistakes` that were found before.
    """
    sources = _Sources(mistakes=list(mistakes))
    paths = tuple(path for path in (files.instance, files.general) if path)
    _read_flags(flags, sources)
    _read_environment(environment, sources)
    for path in paths:
        _read_file(path, sources)
    settings = _merged(sources)
    config = _built(settings)
    if not sources.doubtful & {"renderer", "renderer.mode", "renderer.gles"}:
        _check_capsets(config, settings, sources.mistakes)
        _check_wayland(config, settings, sources.mistakes)
        _check_view(config, settings, sources.mistakes)
    if sources.mistakes:
        raise ConfigurationError(*sources.mistakes)
    origins = {key: setting.origin for key, setting in settings.items()}
    return Loaded(config, origins, paths, tuple(unknown_variables(environment)), files.folders)


def _read_flags(flags: Iterable[Flag], sources: _Sources) -> None:
    layer: Layer = {}
    for flag in flags:
        try:
            value = _flag_value(flag)
        except ValueError as error:
            sources.refuse(flag.option.key, f"{flag.spelling}: {error}")
            continue
        before = layer.get(flag.option.key)
        if before and isinstance(value, tuple):
            value = tuple(dict.fromkeys(before.value + value))
        elif before and before.origin != f"flag {flag.spelling}" and before.value != value:
            sources.mistakes.append(
                f"{before.origin.removeprefix('flag ')}, {flag.spelling}: these contradict each other"
            )
        layer[flag.option.key] = Setting(value, f"flag {flag.spelling}")
    sources.layers.append(layer)


def _flag_value(flag: Flag) -> Any:
    preset = flag.option.presets.get(flag.spelling)
    if preset is None:
        # A switch's flag without a value means true.
        return flag.option.kind.parse("true" if flag.text is None else flag.text)
    return flag.option.kind.parse(preset)


def _read_environment(environment: Mapping[str, str], sources: _Sources) -> None:
    layer: Layer = {}
    for option in OPTIONS:
        variable = next(filter(environment.get, option.variables), None)
        if variable is None:
            continue
        try:
            value = option.kind.parse(environment[variable])
        except ValueError as error:
            sources.refuse(option.key, f"{variable}: {error}")
        else:
            layer[option.key] = Setting(value, f"environment {variable}")
    sources.layers.append(layer)


def _read_file(path: Path, sources: _Sources) -> None:
    from vgpud.config.file import read_file  # costs the import of cattrs

    try:
        values, mistakes = read_file(path)
    except ConfigurationError as error:
        sources.mistakes.extend(error.mistakes)
        return
    for key, why in mistakes:
        sources.refuse(key, f"{path}: {key}: {why}")
    sources.layers.append({key: Setting(value, str(path)) for key, value in values.items()})


def _merged(sources: _Sources) -> Layer:
    settings: Layer = {}
    for layer in sources.layers:
        both = [layer[key] for key in ALTERNATIVES if key in layer]
        if len(both) == len(ALTERNATIVES):
            origins = " and ".join(dict.fromkeys(setting.origin for setting in both))
            sources.mistakes.append(
                f"{origins}: only one of {' and '.join(ALTERNATIVES)} can be given"
            )
        decided = any(key in settings for key in ALTERNATIVES)
        for key, setting in layer.items():
            if key not in settings and not (decided and key in ALTERNATIVES):
                settings[key] = setting
    return settings


def _built(settings: Layer) -> Config:
    tables = {
        section: table(
            **{
                option.name: settings[option.key].value
                for option in OPTIONS
                if option.section == section and option.key in settings
            }
        )
        for section, table in SECTIONS.items()
    }
    if "displays" in settings:
        tables["displays"] = settings["displays"].value
    return Config(**tables)


def _check_view(config: Config, settings: Layer, mistakes: list[str]) -> None:
    if config.view.qmp is not None and config.view.address is None:
        origin = settings["view.qmp"].origin
        mistakes.append(f"{origin}: view.qmp: without view.address there are no viewers")


def _check_wayland(config: Config, settings: Layer, mistakes: list[str]) -> None:
    if config.renderer.wayland is not None and "cross-domain" not in config.renderer.capsets:
        origin = settings["renderer.wayland"].origin
        mistakes.append(f"{origin}: renderer.wayland: this needs the capability set cross-domain")


def _check_capsets(config: Config, settings: Layer, mistakes: list[str]) -> None:
    renderer = config.renderer
    if "renderer.capsets" not in settings:
        return
    origin = settings["renderer.capsets"].origin
    for capset in renderer.capsets:
        if CAPSETS[capset].mode != renderer.mode:
            mistakes.append(f"{origin}: renderer.capsets: the mode {renderer.mode} has no {capset}")
    if "gfxstream-gles" in renderer.capsets and not renderer.gles:
        mistakes.append(f"{origin}: renderer.capsets: gfxstream-gles needs renderer.gles")
