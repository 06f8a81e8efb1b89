# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The alert rules for Prometheus: understood by its own tool, set off by what they are for, about metrics that there are."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vgpud.ctl.metrics import exposition

from ..ctl.test_status import status

FOLDER = Path(__file__).parents[2] / "contrib/prometheus"
RULES = FOLDER / "vgpud.rules.yml"


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool (Debian's package prometheus) is not installed",
)
@pytest.mark.parametrize(
    "command", [("check", "rules", RULES.name), ("test", "rules", "vgpud.rules.test.yml")]
)
def test_prometheus_own_tool_finds_nothing(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *command],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_metric_in_the_rules_is_one_that_vgpuctl_prints() -> None:
    families = text_string_to_metric_families(exposition(status(2)))
    printed = {sample.name for family in families for sample in family.samples}
    named = set(re.findall(r"\bvgpud_[a-z_]+", RULES.read_text()))
    assert len(named) > 5
    assert named <= printed


def test_every_rule_is_tried() -> None:
    rules = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    tried = (FOLDER / "vgpud.rules.test.yml").read_text()
    assert rules == set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n", tried))
