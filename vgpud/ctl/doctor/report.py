# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the checks have found, for people and for programs."""

import textwrap
from collections.abc import Iterator

from vgpud import __version__
from vgpud.control.protocol import Fields
from vgpud.ctl.doctor.checks import Result
from vgpud.ctl.doctor.finding import Verdict
from vgpud.ctl.status import COLUMNS

MARKS = {Verdict.OK: "ok", Verdict.LIMITED: "limited", Verdict.BROKEN: "BROKEN"}
INDENT = " " * 9


def worst(results: list[Result]) -> Verdict:
    """The worst verdict of all."""
    return max((result.finding.verdict for result in results), default=Verdict.OK)


def text(results: list[Result]) -> str:
    """For a person, without the last line feed."""
    lines = [line for result in results for line in _lines(result)]
    counted = {
        verdict: sum(result.finding.verdict == verdict for result in results) for verdict in Verdict
    }
    summary = (
        f"vgpud {__version__}: {counted[Verdict.OK]} in order, {counted[Verdict.LIMITED]} limited, "
        f"{counted[Verdict.BROKEN]} broken"
    )
    return "\n".join([*lines, summary])


def _lines(result: Result) -> Iterator[str]:
    finding = result.finding
    yield from textwrap.wrap(
        f"{MARKS[finding.verdict]:<{len(INDENT)}}{result.check}: {finding.text}",
        COLUMNS,
        subsequent_indent=INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )
    # These will be copied, so they are never wrapped.
    for line in finding.remedy:
        yield f"{INDENT}  {line}"


def as_json(results: list[Result]) -> Fields:
    """For a program."""
    return {
        "version": __version__,
        "verdict": worst(results).name.lower(),
        "checks": [
            {
                "check": result.check,
                "verdict": result.finding.verdict.name.lower(),
                "text": result.finding.text,
                "remedy": list(result.finding.remedy),
            }
            for result in results
        ],
    }
