# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A configuration as text for another of our processes, which needs none of what reading a user's
file takes.
"""

import json

from vgpud.config.options import OPTIONS, SECTIONS
from vgpud.config.schema import Config, Display


def to_plain(config: Config) -> str:
    """Everything in it, on one line."""
    values = {
        option.key: option.kind.write(value)
        for option in OPTIONS
        if (value := getattr(getattr(config, option.section), option.name)) is not None
    }
    displays = [(one.width, one.height, one.connected) for one in config.displays]
    return json.dumps({"values": values, "displays": displays})


def from_plain(text: str) -> Config:
    """The configuration that ``to_plain`` was given."""
    plain = json.loads(text)
    values = plain["values"]
    tables = {
        section: table(
            **{
                option.name: option.kind.read(values[option.key])
                for option in OPTIONS
                if option.section == section and option.key in values
            }
        )
        for section, table in SECTIONS.items()
    }
    return Config(displays=tuple(Display(*one) for one in plain["displays"]), **tables)
