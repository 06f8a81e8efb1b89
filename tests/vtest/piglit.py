# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m tests.vtest.piglit``: piglit by vgpud and, twice, by virgl_test_server; lists each difference.

Without arguments a selection of shaders, textures and framebuffer objects; or a PROFILE of piglit's and patterns, for
instance ``quick_gl -t 'spec@arb_framebuffer_object@.*'``.  A test that does not end alike in both runs of
virgl_test_server is listed as one that says nothing.  The exit status is 1 when there is a difference.  ``PIGLIT.md`` has
what was seen.
"""

import argparse
import bz2
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.vtest.servers import REFERENCE, SERVERS, SUBJECT, alone, client_environment

Results = dict[str, str]
# Some shaders are run by the hundred in one process, which counts as one test.
TEST_SECONDS = 900
AGAIN = f"{REFERENCE}, again"
RUNS = {REFERENCE: REFERENCE, SUBJECT: SUBJECT, AGAIN: REFERENCE}
"""What is run, in this order, and by which server."""

SELECTION = {
    "quick_shader": (r"^spec@glsl-1\.[1235]0@execution@",),
    "quick_gl": (
        r"^spec@(arb|ext)_framebuffer_(object|srgb)@",
        r"^spec@ext_packed_depth_stencil@",
        r"^spec@(arb|ext|oes|nv)_texture_(?!gather|barrier|multisample|view|cube|storage|buffer)",
        r"^spec@!opengl 1\.[1-5]@",
    ),
}
"""Profiles of piglit's, and which of their tests."""


class Comparison(NamedTuple):
    """Tests by name: those that differ, and those that differ between two runs of the same server."""

    different: list[str]
    flaky: list[str]


def results(folder: Path) -> Results:
    """Each test's status; a test's parts are tests of their own."""
    (path,) = folder.glob("results.json*")
    data = bz2.decompress(path.read_bytes()) if path.suffix == ".bz2" else path.read_bytes()
    found: Results = {}
    for name, test in json.loads(data)["tests"].items():
        found[name] = test["result"]
        for part, status in test["subtests"].items():
            found[f"{name}@{part}"] = status
    return found


def run(name: str, profile: str, patterns: tuple[str, ...], jobs: int) -> Results:
    """Piglit's results with one of the servers."""
    chosen = [word for pattern in patterns for word in ("-t", pattern)]
    # Shaders are many, and one process of piglit's can run them all.
    isolation = "false" if profile.endswith("shader") else "true"
    chosen += ["--process-isolation", isolation, "--timeout", str(TEST_SECONDS)]
    environment = client_environment() | {"PIGLIT_PLATFORM": "surfaceless_egl"}
    with tempfile.TemporaryDirectory(prefix="vgpud-piglit-") as folder, alone(), SERVERS[name]():
        out = Path(folder, "results")
        subprocess.run(
            ["piglit", "run", profile, *chosen, "-j", str(jobs), "-l", "dummy", str(out)],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return results(out)


def compare(found: Mapping[str, Results]) -> Comparison:
    """What is the same in both runs of the reference has to be so in the subject's."""
    names = sorted({name for statuses in found.values() for name in statuses})
    first, subject, again = (
        [found[key].get(name) for name in names] for key in (REFERENCE, SUBJECT, AGAIN)
    )
    flaky = [name for name, one, two in zip(names, first, again, strict=True) if one != two]
    different = [
        name
        for name, one, other in zip(names, first, subject, strict=True)
        if one != other and name not in flaky
    ]
    return Comparison(different, flaky)


def report(found: Mapping[str, Results]) -> int:
    """Prints it; how many differences there are."""
    for key, statuses in found.items():
        counted = sorted(Counter(statuses.values()).items())
        counts = ", ".join(f"{count} {status}" for status, count in counted)
        print(f"{key}: {len(statuses)} results: {counts}")
    different, flaky = compare(found)
    for title, names in (("differs", different), ("not the same twice", flaky)):
        for name in names:
            shown = ", ".join(f"{key}: {statuses.get(name)}" for key, statuses in found.items())
            print(f"{title}: {name}: {shown}")
    print(f"{len(different)} differences, {len(flaky)} not the same twice", flush=True)
    return len(different)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", nargs="?")
    parser.add_argument("-t", dest="patterns", action="append", default=[], metavar="PATTERN")
    parser.add_argument("-j", dest="jobs", type=int, default=2)
    options = parser.parse_args()
    selection = SELECTION
    if options.profile:
        selection = {options.profile: tuple(options.patterns)}
    differences = 0
    for profile, patterns in selection.items():
        print(f"{profile} {' '.join(patterns)}", flush=True)
        found = {key: run(name, profile, patterns, options.jobs) for key, name in RUNS.items()}
        differences += report(found)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
