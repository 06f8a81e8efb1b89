# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a misspelt word was meant to be."""

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that is most like it; None when none is, ``cutoff`` of 1 being the same."""
    # Imported when somebody has misspelt something: every process of a daemon has what is imported at the start.
    import difflib

    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=cutoff)), None)
