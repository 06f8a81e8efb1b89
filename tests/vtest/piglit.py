# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m tests.vtest.piglit PROFILE [-t PATTERN]…``: piglit by vgpud and by virgl_test_server; lists each difference.

For instance ``quick_gl -t 'spec@arb_framebuffer_object@.*'``.  The exit status is 1 when there is a difference.
"""

import argparse
import bz2
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.vtest.servers import REFERENCE, SERVERS, SUBJECT, client_environment

Results = dict[str, str]
TEST_SECONDS = 120


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


def run(name: str, profile: str, patterns: list[str], folder: Path, jobs: int) -> Results:
    """Piglit's results with one of the servers."""
    chosen = [word for pattern in patterns for word in ("-t", pattern)]
    # Shaders are many, and one process of piglit's can run them all.
    isolation = "false" if profile.endswith("shader") else "true"
    chosen += ["--process-isolation", isolation, "--timeout", str(TEST_SECONDS)]
    environment = client_environment() | {"PIGLIT_PLATFORM": "surfaceless_egl"}
    with SERVERS[name]():
        subprocess.run(
            ["piglit", "run", profile, *chosen, "-j", str(jobs), "-l", "dummy", str(folder)],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return results(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("-t", dest="patterns", action="append", default=[], metavar="PATTERN")
    parser.add_argument("-j", dest="jobs", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vgpud-piglit-") as folder:
        found = {
            name: run(name, options.profile, options.patterns, Path(folder, name), options.jobs)
            for name in SERVERS
        }
    for name, statuses in found.items():
        counts = ", ".join(
            f"{count} {status}" for status, count in Counter(statuses.values()).items()
        )
        print(f"{name}: {len(statuses)} results: {counts}")
    names = sorted(found[SUBJECT].keys() | found[REFERENCE].keys())
    different = [name for name in names if found[SUBJECT].get(name) != found[REFERENCE].get(name)]
    for name in different:
        print(f"{name}: {found[SUBJECT].get(name)}, {REFERENCE}: {found[REFERENCE].get(name)}")
    print(f"{len(different)} differences")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
