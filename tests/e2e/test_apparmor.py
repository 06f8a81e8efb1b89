# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""AppArmor's profiles where they are enforced: under a kernel that has it."""

from __future__ import annotations

import shutil

import pytest

from .conftest import Workshop
from .long import takes
from .other_kernel import assert_passes_there


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("only_vgpud")
@takes("5 to 10 minutes")
@pytest.mark.skipif(
    shutil.which("apparmor_parser", path="/usr/sbin:/sbin") is None,
    reason="AppArmor's parser is not installed: its profiles are not seen enforced",
)
def test_each_process_has_its_profile_and_does_no_more(
    workshop: Workshop, request: pytest.FixtureRequest
) -> None:
    assert_passes_there(workshop, request.config, "tests/systemd/test_apparmor.py")
