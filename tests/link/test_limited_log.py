# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A guest's mistakes are logged, but never without bound."""

from vgpud.link.limited_log import BURST, Allowance, LimitedLog


def test_lines_beyond_the_burst_are_counted_and_told_later() -> None:
    now = 0.0
    lines: list[str] = []
    log = LimitedLog(lines.append, clock=lambda: now)
    for _ in range(BURST + 5):
        log.write("wrong")
    assert lines == ["wrong"] * BURST
    now = 1.0
    log.write("wrong again")
    assert lines[BURST:] == ["wrong again (5 more not shown)"]


def test_a_quiet_guest_may_have_a_burst_again() -> None:
    now = 0.0
    lines: list[str] = []
    log = LimitedLog(lines.append, clock=lambda: now)
    for round_ in range(3):
        now = round_ * 3600.0
        for _ in range(BURST):
            log.write("wrong")
    assert len(lines) == 3 * BURST


def test_a_guest_that_never_stops_gets_a_line_each_second() -> None:
    now = 0.0
    lines: list[str] = []
    log = LimitedLog(lines.append, clock=lambda: now)
    for step in range(6000):
        now = step / 100
        log.write("wrong")
    assert BURST <= len(lines) <= BURST + 61


def test_what_is_left_out_at_the_end_is_told_then() -> None:
    lines: list[str] = []
    log = LimitedLog(lines.append, clock=lambda: 0.0)
    written = [log.write("wrong") for _ in range(BURST + 7)]
    assert written == [True] * BURST + [False] * 7
    log.finish()
    log.finish()
    assert lines[BURST:] == ["7 more not shown"]


def test_an_allowance_counts_what_it_refuses_and_becomes_whole_again() -> None:
    now = 0.0
    allowance = Allowance(3, 2.0, clock=lambda: now)
    assert allowance.whole
    assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]
    assert (allowance.left_out, allowance.whole) == (2, False)
    now = 0.5
    assert [allowance.take(), allowance.take()] == [True, False]
    assert (allowance.reset(), allowance.left_out) == (3, 0)
    now = 10.0
    assert allowance.whole
