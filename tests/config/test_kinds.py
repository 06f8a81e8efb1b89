# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What each kind of value accepts, on a command line and in a file."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpud.config.kinds import (
    Boolean,
    Choice,
    Choices,
    FilePath,
    Integer,
    Kind,
    Permissions,
    Seconds,
    Size,
    Text,
)
from vgpud.config.options import DISPLAY_OPTIONS, OPTIONS

SIZE = Size(0, 1 << 60)
LETTERS = Choices(("a", "b", "c"))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("17B", 17),
        ("4KiB", 4096),
        ("512MiB", 512 << 20),
        ("2 GiB", 2 << 30),
        ("3TiB", 3 << 40),
    ],
)
def test_a_size_is_a_number_with_a_unit_of_1024(text: str, size: int) -> None:
    assert SIZE.parse(text) == SIZE.read(text) == size


@pytest.mark.parametrize(
    "text", ["", "MiB", "512MB", "512M", "-1", "1.5GiB", "512mib", "9" * 21, "²KiB"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size such as"):
        SIZE.parse(text)


@given(st.integers(0, 1 << 60))
def test_every_size_reads_back_as_it_was_written(size: int) -> None:
    assert SIZE.read(SIZE.write(size)) == size


def test_a_size_is_written_with_the_largest_unit_that_is_exact() -> None:
    assert [SIZE.write(size) for size in (1 << 30, 1536 << 20, 1025)] == ["1GiB", "1536MiB", 1025]


def test_a_size_of_whole_pages_is_a_multiple() -> None:
    pages = Size(0, 1 << 40, multiple=4096)
    assert [pages.parse(text) for text in ("0", "4KiB", "3GiB")] == [0, 4096, 3 << 30]
    with pytest.raises(ValueError, match=r"^expected a multiple of 4KiB, not 6KiB$"):
        pages.parse("6KiB")


@pytest.mark.parametrize("text", ["true", "yes", "on", "1", "TRUE"])
def test_a_switch_understands_true(text: str) -> None:
    assert Boolean().parse(text) is True


@pytest.mark.parametrize("text", ["false", "no", "off", "0", "False"])
def test_a_switch_understands_false(text: str) -> None:
    assert Boolean().parse(text) is False


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Boolean(), "true"),
        (Boolean(), 1),
        (Text(), 3),
        (Text(), ""),
        (FilePath(), 3),
        (FilePath(), "a\0b"),
        (Choice(("a",)), ["a"]),
        (LETTERS, "a"),
        (LETTERS, [["a"]]),
        (LETTERS, ["d"]),
        (Integer(0, 9), True),
        (Integer(0, 9), 1.0),
        (Integer(0, 9), 10),
        (Seconds(0, 9), float("nan")),
        (Seconds(0, 9), float("inf")),
        (Seconds(0, 9), True),
        (Permissions(), 660),
        (Permissions(), True),
        (Permissions(), "0888"),
        (SIZE, True),
        (SIZE, 1.5),
    ],
)
def test_a_file_value_of_another_type_or_size_is_refused(kind: Kind[Any], value: object) -> None:
    with pytest.raises(ValueError, match=r"^expected "):
        kind.read(value)


@given(st.text())
def test_any_text_is_a_value_or_refused_in_one_short_line(text: str) -> None:
    for option in (*OPTIONS, *DISPLAY_OPTIONS):
        try:
            option.kind.parse(text)
        except ValueError as error:
            assert str(error).isprintable()  # noqa: PT017
            assert len(str(error)) < 250  # noqa: PT017


def test_permissions_are_octal_in_every_spelling() -> None:
    kind = Permissions()
    assert (
        kind.parse("660") == kind.parse("0660") == kind.read("0o660") == kind.read("660") == 0o660
    )
    assert kind.write(0o660) == "0660"


@pytest.mark.parametrize(
    ("number", "spelled"),
    [
        # What was meant by 440 is 0440, and what TOML makes of 0o660 may be meant as 0432.
        (440, '"0440" or "0670"'),
        (0o660, '"0432" or "0660"'),
        (660, '"0660"'),
        (0, '"0000"'),
        (99999, 'such as "0660"'),
        (-1, 'such as "0660"'),
    ],
)
def test_permissions_are_no_number_and_the_answer_says_how_to_spell_it(
    number: int, spelled: str
) -> None:
    with pytest.raises(ValueError, match=r"in quotes") as raised:
        Permissions().read(number)
    assert str(raised.value) == f"expected octal permissions in quotes: {spelled}, not {number}"


def test_an_alternative_spelling_of_a_choice_stands_for_the_name() -> None:
    assert (
        Choice(("virglrenderer",), also={"virgl-renderer": "virglrenderer"}).parse("virgl-renderer")
        == "virglrenderer"
    )


def test_names_are_separated_by_commas_and_each_counts_once() -> None:
    assert LETTERS.parse("b, a,,b") == ("b", "a")
    assert LETTERS.read(["c", "c"]) == ("c",)


def test_a_path_stays_as_it_was_given() -> None:
    assert FilePath().parse("run/../x") == Path("run/../x")
