# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What ``--print-config`` writes, and the annotated example."""

import tomllib
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vgpud.config import kinds
from vgpud.config.address import PORT_MAX, Address, LocalAddress
from vgpud.config.dump import dump, example
from vgpud.config.file import read_file
from vgpud.config.load import Flag, Loaded, load
from vgpud.config.options import BY_KEY, DISPLAY_OPTIONS, OPTIONS, SECTIONS, Option
from vgpud.config.schema import Config, Display
from vgpud.config.search import Files
from vgpud.modes import CAPSETS

EXAMPLE = Path(__file__).parents[2] / "config/vgpud.toml"


def strategy(option: Option) -> st.SearchStrategy[Any]:
    """Any value of an option that a file could have given it."""
    kind = option.kind
    text = st.text(
        st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1
    )
    some: dict[type, Any] = {
        kinds.Boolean: lambda _: st.booleans(),
        kinds.Text: lambda _: text,
        kinds.KeyboardLayout: lambda _: st.from_regex(
            r"[a-z0-9_]{1,32}(\([a-z_-]{1,32}\))?", fullmatch=True
        ),
        kinds.FilePath: lambda _: text.map(Path),
        kinds.Choice: lambda kind: st.sampled_from(kind.values),
        kinds.Choices: lambda kind: st.lists(st.sampled_from(kind.values), unique=True).map(tuple),
        kinds.Integer: lambda kind: st.integers(kind.low, kind.high),
        kinds.Size: lambda kind: st.integers(
            -(-kind.low // kind.multiple), kind.high // kind.multiple
        ).map(lambda count: count * kind.multiple),
        kinds.Seconds: lambda kind: st.floats(kind.low, kind.high),
        kinds.Permissions: lambda _: st.integers(0, 0o777),
        LocalAddress: lambda _: text.map(lambda path: Address(path=Path(path))) | ports(),
    }
    values: st.SearchStrategy[Any] = some[type(kind)](kind)
    return values | st.none() if option.default is None else values


def ports() -> st.SearchStrategy[Address]:
    return st.builds(
        Address,
        host=st.sampled_from(["127.0.0.1", "127.1.2.3", "::1"]),
        port=st.integers(1, PORT_MAX),
    )


def tables() -> st.SearchStrategy[Config]:
    sections = {
        section: st.builds(
            table,
            **{option.name: strategy(option) for option in OPTIONS if option.section == section},
        )
        for section, table in SECTIONS.items()
    }
    display = st.builds(Display, **{option.name: strategy(option) for option in DISPLAY_OPTIONS})
    displays = st.lists(display, min_size=1, max_size=16).map(tuple)
    return st.builds(Config, displays=displays, **sections)


def usable(config: Config) -> Config:
    """The same without what does not go together."""
    socket = attrs.evolve(config.socket, fd=None if config.socket.path else config.socket.fd)
    view = attrs.evolve(config.view, qmp=config.view.qmp if config.view.address else None)
    renderer = config.renderer
    capsets = tuple(
        capset
        for capset in renderer.capsets
        if CAPSETS[capset].mode == renderer.mode and (capset != "gfxstream-gles" or renderer.gles)
    )
    wayland = renderer.wayland if "cross-domain" in capsets else None
    chosen = attrs.evolve(renderer, capsets=capsets, wayland=wayland)
    return attrs.evolve(config, socket=socket, view=view, renderer=chosen)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tables().map(usable))
def test_what_is_written_reads_back_equal(tmp_path: Path, config: Config) -> None:
    file = tmp_path / "vgpud.toml"
    file.write_text(dump(Loaded(config, {}, ())))
    assert load([], {}, Files(file, None)).config == config


def test_each_value_says_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "vgpud.toml"
    file.write_text("[renderer]\nglx = true\n[[displays]]\nwidth = 640")
    flags = [Flag(BY_KEY["log.level"], "--log-level", "debug")]
    lines = dump(load(flags, {"VGPUD_USE_GLES": "0"}, Files(file, None))).splitlines()
    assert 'level = "debug"  # flag --log-level' in lines
    assert "gles = false  # environment VGPUD_USE_GLES" in lines
    assert f"glx = true  # {file}" in lines
    assert f"width = 640  # {file}" in lines
    assert "egl = true  # built-in" in lines
    assert "#path = PATH  # not set" in lines


def test_an_origin_cannot_break_out_of_its_comment() -> None:
    text = dump(Loaded(Config(), {"log.level": 'a\n[x]\ny = "z"'}, ()))
    assert "x" not in tomllib.loads(text)


def test_the_annotated_example_equals_the_defaults() -> None:
    values, mistakes = read_file(EXAMPLE)
    assert mistakes == []
    assert load([], {}, Files(EXAMPLE, None)).config == Config()
    # It has every key: said, or commented out where there is no default.
    unset = {option.key for option in OPTIONS if option.default is None}
    assert set(values) == {option.key for option in OPTIONS} - unset | {"displays"}


def test_the_annotated_example_is_the_one_that_the_schema_gives() -> None:
    assert EXAMPLE.read_text() == example(), "run man/generate.py"


@pytest.mark.parametrize("option", [*OPTIONS, *DISPLAY_OPTIONS], ids=lambda option: option.key)
def test_the_annotated_example_explains_every_key(option: Option) -> None:
    lines = EXAMPLE.read_text().splitlines()
    place = next(
        number
        for number, line in enumerate(lines)
        if line.startswith((f"{option.name} =", f"#{option.name} ="))
        and _section(lines, number) == option.section
    )
    assert lines[place - 1].startswith("# ")


def _section(lines: list[str], number: int) -> str:
    return next(line for line in reversed(lines[:number]) if line.startswith("[")).strip("[]")
