# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Files that are placed into folders of other programs and removed again: a record says what was
written, and what was there before.  Whatever somebody else has changed since then stays.
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
    """The steps that put the files in place."""
    return [Step(_action(path, text), path, text) for path, text in files.items()]


def _action(path: Path, text: str) -> str:
    there = _read(path)
    if there is None:
        return WRITE
    return KEEP if there == text else REPLACE


def steps_to_undo(record_path: Path) -> list[Step]:
    """The steps that restore what was there before, except where somebody has changed it since."""
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
    """Carries the steps out; ``OSError``."""
    record = _load(record_path)
    for step in steps:
        if not step.changes:
            continue
        noted, there = record.get(str(step.path)), _read(step.path)
        # A file that we wrote earlier is not what was there before us.
        ours = noted is not None and _digest(there) == noted["digest"]
        before = noted["before"] if noted is not None and ours else there
        record[str(step.path)] = {"digest": _digest(step.text), "before": before}
        # Noted first: a file that was written but not noted could not be undone.
        _write(record_path, json.dumps(record, indent=2) + "\n")
        _write(step.path, step.text or "")


def undo(steps: list[Step], record_path: Path) -> None:
    """Carries the steps out; folders that are then empty go too."""
    for step in steps:
        if step.action == RESTORE:
            _write(step.path, step.text or "")
        elif step.action == REMOVE:
            step.path.unlink()
            _remove_empty(step.path.parent)
    record_path.unlink(missing_ok=True)
    _remove_empty(record_path.parent)


def _remove_empty(folder: Path) -> None:
    """Folders that we may have made: a folder of the system is never empty."""
    with suppress(OSError):
        for one in (folder, folder.parent):
            one.rmdir()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    """Whole or not at all; missing folders are made."""
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
        raise ControlError(f"{record_path}: this is not a record of vgpuctl setup") from None
