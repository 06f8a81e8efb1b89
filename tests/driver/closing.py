# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What is closed when its context ends."""

from types import TracebackType
from typing import Self


class Closing:
    """Of a class with ``close``."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
