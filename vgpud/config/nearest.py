# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What a misspelt word was meant to be."""

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that is most like it; None when none is similar enough (``cutoff`` 1:
    equal).
    """
    # Imported only when something is misspelt: all processes of a daemon carry what is imported at
    # the start.
    import difflib

    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=cutoff)), None)
