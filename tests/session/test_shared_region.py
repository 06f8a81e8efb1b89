# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Which parts of the host-visible memory are taken: a guest may ask for anything."""

import errno

import pytest

from vgpud.session.shared_region import PAGE, SharedRegion, Window

SIZE = 16 * PAGE
FILE = (1, 2)


def window(offset: int, length: int) -> Window:
    return Window(offset * PAGE, length * PAGE, FILE)


@pytest.fixture
def region() -> SharedRegion:
    """From page 4 to 8, resource 7's."""
    made = SharedRegion(SIZE)
    made.take(window(4, 4), 7)
    return made


@pytest.mark.parametrize(
    "where",
    [
        window(4, 4),
        window(0, 5),
        window(7, 1),
        window(3, 6),
        window(5, 2),
        window(8, 0),
        window(8, 9),
        window(16, 1),
        Window(8 * PAGE + 1, PAGE, FILE),
        Window(8 * PAGE, PAGE - 1, FILE),
        Window((1 << 64) - PAGE, PAGE, FILE),
        Window(8 * PAGE, (1 << 64) - PAGE, FILE),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    region: SharedRegion, where: Window
) -> None:
    with pytest.raises(OSError, match=r"pages|of \d|mapped") as refused:
        region.take(where, 8)
    assert refused.value.errno == errno.EINVAL
    assert (list(region), region.mapped_bytes) == ([window(4, 4)], 4 * PAGE)


def test_what_touches_a_window_fits(region: SharedRegion) -> None:
    region.take(window(0, 4), 8)
    region.take(window(8, 8), 9)
    assert region.mapped_bytes == SIZE


def test_a_resource_has_one_window(region: SharedRegion) -> None:
    with pytest.raises(OSError, match="mapped already"):
        region.take(window(9, 1), 7)
    region.give_back(window(4, 4))
    region.take(window(9, 1), 7)
    assert region.of(7) == window(9, 1)


def test_what_is_nobody_s_any_more_keeps_its_place(region: SharedRegion) -> None:
    region.disown()
    assert region.of(7) is None
    with pytest.raises(OSError, match="mapped already"):
        region.take(window(4, 1), 7)
    region.take(window(8, 1), 7)
    region.give_back(window(4, 4))
    region.take(window(4, 1), 8)


def test_where_there_is_no_region_nothing_fits() -> None:
    with pytest.raises(OSError, match="of 0"):
        SharedRegion(0).take(window(0, 1), 1)
