# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Files that are put among others' and taken away again: a record says what was written, and what was there before.

Whatever has been changed since by somebody else is his, and stays.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from vgpud.control.protocol import ControlError

WRITE, REPLACE, KEEP = "write", "replace", "keep"
REMOVE, RESTORE, LEAVE = "remove", "restore", "leave"

Record = dict[str, dict[str, str | None]]


@frozen
class Step:
    """One thing to do with one file: ``text`` is what it has afterwards."""

    action: str
    path: Path
    text: str | None = None

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.action not in (KEEP, LEAVE)


def steps_to_place(files: Mapping[Path, str]) -> list[Step]:
    """How the files come to be there."""
    return [Step(_action(path, text), path, text) for path, text in files.items()]


def _action(path: Path, text: str) -> str:
    there = _read(path)
    if there is None:
        return WRITE
    return KEEP if there == text else REPLACE


def steps_to_undo(record_path: Path) -> list[Step]:
    """How all is as it was before, as far as nobody has changed it since."""
    steps = []
    for name, noted in _load(record_path).items():
        path, before = Path(name), noted["before"]
        if _read(path) is None:
            continue
        if _digest(_read(path)) != noted["digest"]:
            steps.append(Step(LEAVE, path))
        else:
            steps.append(Step(REMOVE if before is None else RESTORE, path, before))
    return steps


def place(steps: list[Step], record_path: Path) -> None:
    """Carries them out; ``OSError``."""
    record = _load(record_path)
    for step in steps:
        if not step.changes:
            continue
        noted, there = record.get(str(step.path)), _read(step.path)
        # Ours of an earlier time is not what was there before us.
        ours = noted is not None and _digest(there) == noted["digest"]
        before = noted["before"] if noted is not None and ours else there
        record[str(step.path)] = {"digest": _digest(step.text), "before": before}
        # Noted first: what is written and not noted could not be undone.
        _write(record_path, json.dumps(record, indent=2) + "\n")
        _write(step.path, step.text or "")


def undo(steps: list[Step], record_path: Path) -> None:
    """Likewise; folders that are empty then go too."""
    for step in steps:
        if step.action == RESTORE:
            _write(step.path, step.text or "")
        elif step.action == REMOVE:
            step.path.unlink()
            _remove_empty(step.path.parent)
    record_path.unlink(missing_ok=True)
    _remove_empty(record_path.parent)


def _remove_empty(folder: Path) -> None:
    """Of those that may be of our making: none that is an ancestor of many things stays empty."""
    with suppress(OSError):
        for one in (folder, folder.parent):
            one.rmdir()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    """Whole or not at all, in folders that are made when they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, errors="surrogateescape")
    new.chmod(0o644)
    new.replace(path)


def _digest(text: str | None) -> str:
    return hashlib.sha256((text or "").encode(errors="surrogateescape")).hexdigest()


def _load(record_path: Path) -> Record:
    text = _read(record_path)
    try:
        return dict(json.loads(text)) if text else {}
    except (ValueError, TypeError):
        raise ControlError(f"{record_path}: this is no record of vgpuctl setup") from None
