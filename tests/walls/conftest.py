# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""One house for all cases that leave it sound; after another case a new one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.driver.aftermath import House, Street
from tests.driver.hostile_device import ENVIRONMENT

CONFIGURATION = """
[device_process]
restarts = 1000
restart_window = 1.0
restart_delay = 0.01
"""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    configuration = tmp_path_factory.mktemp("walls") / "vgpud.toml"
    configuration.write_text(CONFIGURATION)
    made = Street(lambda: House("--config", str(configuration), environment=ENVIRONMENT))
    yield made
    made.close()


@pytest.fixture
def house(street: Street) -> House:
    return street.house()
