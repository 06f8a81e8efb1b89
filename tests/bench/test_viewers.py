# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The benchmark of viewers counts a frame when a pixel changes: so each has to, and by more than an encoding loses."""

from itertools import combinations

from contrib.bench.viewers import PICTURES, picture

WIDTH, HEIGHT = 256, 128
LOST = 12


def test_no_two_pictures_look_alike_anywhere() -> None:
    pictures = [picture(number, WIDTH, HEIGHT) for number in range(PICTURES)]
    assert {len(one) for one in pictures} == {WIDTH * HEIGHT * 4}
    for first, second in combinations(pictures, 2):
        for at in range(0, len(first), 4 * 31):
            apart = (
                abs(a - b) for a, b in zip(first[at : at + 3], second[at : at + 3], strict=True)
            )
            assert max(apart) > LOST
