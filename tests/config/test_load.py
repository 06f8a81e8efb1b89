# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Where values come from, and which one counts."""

from pathlib import Path

import pytest

from vgpud.config.load import Flag, Loaded, load
from vgpud.config.options import BY_KEY, OPTIONS
from vgpud.config.schema import Config
from vgpud.config.search import Files
from vgpud.errors import ConfigurationError
from vgpud.modes import CAPSETS, MODES

NO_FILES = Files(None, None)


def flag(key: str, text: str | None, spelling: str | None = None) -> Flag:
    option = BY_KEY[key]
    return Flag(option, spelling or option.flag or "", text)


def mistakes(flags: list[Flag], environment: dict[str, str], files: Files) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(flags, environment, files)
    return list(caught.value.mistakes)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    general, instance = tmp_path / "vgpud.toml", tmp_path / "machine.toml"
    general.write_text("")
    instance.write_text("")
    return Files(general, instance)


def write(file: Path | None, text: str) -> None:
    assert file is not None
    file.write_text(text)


def test_nothing_configured_is_the_default_configuration() -> None:
    assert load([], {}, NO_FILES) == Loaded(Config(), {}, ())


def test_the_nearest_source_counts(files: Files) -> None:
    levels = ["error", "warning", "debug", "info"]
    write(files.general, f"[log]\nlevel = '{levels[0]}'")
    seen = [load([], {}, files)]
    write(files.instance, f"[log]\nlevel = '{levels[1]}'")
    seen.append(load([], {}, files))
    environment = {"VGPUD_LOG_LEVEL": levels[2]}
    seen.append(load([], environment, files))
    seen.append(load([flag("log.level", levels[3])], environment, files))

    assert [loaded.config.log.level for loaded in seen] == levels
    assert [loaded.origins["log.level"] for loaded in seen] == [
        str(files.general),
        str(files.instance),
        "environment VGPUD_LOG_LEVEL",
        "flag --log-level",
    ]


def test_sources_add_to_each_other(files: Files) -> None:
    write(files.general, "[limits]\nresources = 5\n[[displays]]\nwidth = 640")
    write(files.instance, "[limits]\ncontexts = 6\n[[displays]]\nwidth = 800")
    config = load(
        [flag("display.headless", None)], {"VGPUD_LIMITS_REQUEST_BYTES": "1MiB"}, files
    ).config
    assert (config.limits.resources, config.limits.contexts) == (5, 6)
    assert config.limits.request_bytes == 1 << 20
    assert [display.width for display in config.displays] == [800]
    assert config.display.headless


def test_mistakes_of_all_sources_are_listed_together(files: Files) -> None:
    write(files.general, "x = 1\n[log]\nlevel = 'no'")
    write(files.instance, "y = 1")
    flags, environment = [flag("socket.fd", "x")], {"VGPUD_USE_EGL": "x"}
    assert [line.split(": ")[0] for line in mistakes(flags, environment, files)] == [
        "--fd",
        "VGPUD_USE_EGL",
        str(files.instance),
        str(files.general),
        str(files.general),
    ]


def test_an_empty_environment_variable_says_nothing() -> None:
    assert load([], {"VGPUD_GPU_MODE": ""}, NO_FILES).config == Config()


def test_a_bare_switch_means_true() -> None:
    config = load([flag("renderer.glx", None), flag("renderer.egl", "false")], {}, NO_FILES).config
    assert config.renderer.glx
    assert not config.renderer.egl


def test_virgl_is_the_mode_virglrenderer() -> None:
    config = load([flag("renderer.mode", None, "--virgl")], {}, NO_FILES).config
    assert config.renderer.mode == "virglrenderer"


def test_flags_that_contradict_each_other_are_refused() -> None:
    flags = [flag("renderer.mode", None, "--virgl"), flag("renderer.mode", "2d")]
    assert mistakes(flags, {}, NO_FILES) == ["--virgl, --gpu-mode: these contradict each other"]


def test_the_last_of_a_repeated_flag_counts() -> None:
    flags = [flag("renderer.mode", "2d"), flag("renderer.mode", "null")]
    assert load(flags, {}, NO_FILES).config.renderer.mode == "null"


def test_repeated_capsets_add_up() -> None:
    flags = [
        flag("renderer.mode", "virglrenderer"),
        flag("renderer.capsets", "virgl,venus"),
        flag("renderer.capsets", "virgl2,virgl", "-c"),
    ]
    capsets = load(flags, {}, NO_FILES).config.renderer.capsets
    assert capsets == ("virgl", "venus", "virgl2")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("capset", CAPSETS)
def test_a_capset_needs_the_mode_that_has_it(mode: str, capset: str) -> None:
    flags = [flag("renderer.mode", mode), flag("renderer.capsets", capset)]
    if CAPSETS[capset].mode == mode:
        assert load(flags, {}, NO_FILES).config.renderer.capsets == (capset,)
    else:
        assert mistakes(flags, {}, NO_FILES) == [
            f"flag --capset: renderer.capsets: the mode {mode} has no {capset}"
        ]


def test_gfxstream_gles_needs_gles() -> None:
    flags = [
        flag("renderer.mode", "gfxstream"),
        flag("renderer.capsets", "gfxstream-gles"),
        flag("renderer.gles", "false"),
    ]
    assert mistakes(flags, {}, NO_FILES) == [
        "flag --capset: renderer.capsets: gfxstream-gles needs renderer.gles"
    ]


def test_a_compositor_is_for_those_who_may_speak_to_it() -> None:
    chosen = [flag("renderer.mode", "gfxstream"), flag("renderer.capsets", "cross-domain")]
    compositor = flag("renderer.wayland", "/run/user/1000/wayland-0")
    assert load([*chosen, compositor], {}, NO_FILES).config.renderer.wayland is not None
    assert mistakes([chosen[0], compositor], {}, NO_FILES) == [
        "flag --wayland: renderer.wayland: this needs the capability set cross-domain"
    ]


def test_a_wrong_mode_does_not_make_its_capsets_wrong() -> None:
    flags = [flag("renderer.mode", "virgl"), flag("renderer.capsets", "virgl")]
    assert len(mistakes(flags, {}, NO_FILES)) == 1


def test_a_descriptor_replaces_a_path_that_is_farther_away(files: Files) -> None:
    write(files.general, "[socket]\npath = '/run/x'\nmode = '0600'")
    socket = load([flag("socket.fd", "3")], {}, files).config.socket
    assert (socket.path, socket.fd, socket.mode) == (None, 3, 0o600)


def test_a_path_and_a_descriptor_in_one_source_are_refused(files: Files) -> None:
    flags = [flag("socket.fd", "3"), flag("socket.path", "x")]
    assert mistakes(flags, {}, NO_FILES) == [
        "flag --socket-path and flag --fd: only one of socket.path and socket.fd can be given"
    ]
    write(files.general, "[socket]\nfd = 3\npath = 'x'")
    assert "only one of" in mistakes([], {}, files)[0]


def test_no_two_options_share_a_name() -> None:
    spellings = [name for option in OPTIONS for name in (*option.flags, *option.presets)]
    variables = [option.environment for option in OPTIONS]
    assert len(set(spellings)) == len(spellings)
    assert len({*variables, "VGPUD_CONFIG", "VGPUD_INSTANCE"}) == len(variables) + 2


def test_every_default_is_a_value_that_its_kind_accepts() -> None:
    for option in OPTIONS:
        if option.default is not None:
            assert option.kind.read(option.kind.write(option.default)) == option.default
