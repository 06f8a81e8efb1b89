# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What import-linter cannot see, since it reads no compiled module."""

import ast
from pathlib import Path

import vgpud

PACKAGE = Path(vgpud.__file__).parent


def _imported(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def test_one_module_knows_the_compiled_extension() -> None:
    knowing = {
        module.relative_to(PACKAGE).as_posix()
        for module in PACKAGE.rglob("*.py")
        if "vgpud._native" in _imported(module)
    }
    assert knowing == {"native.py"}
