# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The configuration in force: SIGHUP reads it again, and what can change while the daemon runs is
changed.
"""

from collections.abc import Callable

from attrs import evolve
from loguru import logger

from vgpud.config.load import Loaded
from vgpud.config.options import OPTIONS
from vgpud.config.schema import Config
from vgpud.daemon import logs
from vgpud.daemon.introduction import warn
from vgpud.errors import ConfigurationError

# Tables that stay as they were at the start: the sockets are open, the renderer was tried.
FIXED = ("socket", "renderer", "view")


class Current:
    """The configuration in force, for front-ends that connect from now on."""

    def __init__(
        self, loaded: Loaded, read: Callable[[], Loaded], instance: str | None = None
    ) -> None:
        """``read`` returns the configuration that a start now would have."""
        self.instance = instance
        self.loaded = loaded
        self.config = loaded.config
        self._read = read
        # Called with the log's level when that may have changed.
        self.on_log_level: Callable[[str], None] = lambda level: None

    def reload(self) -> None:
        """Applies what can change, and names the rest in the log; with mistakes nothing changes."""
        try:
            self.loaded = self._read()
        except ConfigurationError as error:
            for mistake in error.mistakes:
                logger.error("the configuration stays as it is: {}", mistake)
            return
        before, wanted = self.config, self.loaded.config
        self.config = evolve(wanted, **{table: getattr(before, table) for table in FIXED})
        self._set_up_log()
        taken: list[str] = []
        refused: list[str] = []
        for key in changed(before, wanted):
            (refused if key.partition(".")[0] in FIXED else taken).append(key)
        warn(self.loaded)
        for key in refused:
            logger.warning("{} has changed: restart vgpud to apply it", key)
        logger.info(
            "SIGHUP: the configuration was read again: {}", ", ".join(taken) or "nothing new"
        )

    def set_log_level(self, level: str) -> None:
        """Sets the log's level until the next reload."""
        self.config = evolve(self.config, log=evolve(self.config.log, level=level))
        self._set_up_log()

    def _set_up_log(self) -> None:
        logs.set_up(self.config.log)
        self.on_log_level(self.config.log.level)


def changed(before: Config, after: Config) -> list[str]:
    """The keys whose values differ."""
    keys = [
        option.key
        for option in OPTIONS
        if getattr(getattr(before, option.section), option.name)
        != getattr(getattr(after, option.section), option.name)
    ]
    return keys if before.displays == after.displays else [*keys, "displays"]
