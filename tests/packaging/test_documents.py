# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Documents name only what exists, and one version and its day everywhere."""

import re
from datetime import date, datetime
from pathlib import Path

import pytest

import vgpud

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "SECURITY.md")
PAGES = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))
README_WORDS_MAX = 900
FOLDERS = "config|contrib|docs|man|native|tests|vgpud"


@pytest.mark.parametrize("document", [*DOCUMENTS, *PAGES])
def test_a_link_leads_to_a_file(document: str) -> None:
    place = ROOT / document
    links = re.findall(r"\]\(([^):#]+)\)", place.read_text())
    assert [link for link in links if not (place.parent / link).exists()] == []


def test_the_readme_names_every_page_and_is_short() -> None:
    text = re.sub(
        r"<!-- \[numbers\].*?end numbers\] -->",
        "",
        (ROOT / "README.md").read_text(),
        flags=re.DOTALL,
    )
    assert [page for page in PAGES if f"]({page})" not in text] == []
    assert len(text.split()) < README_WORDS_MAX


@pytest.mark.parametrize("document", [*DOCUMENTS, *PAGES])
def test_a_file_that_is_named_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    names = re.findall(rf"(?<![\w/.-])((?:{FOLDERS})/[\w/.@-]+\w)", text)
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_packages_and_changelog_have_the_version_of_the_program() -> None:
    found = {
        name: re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
        for name, pattern in {
            "CHANGELOG.md": r"^## ([0-9.]+)",
            "contrib/debian/changelog": r"^vgpud \(([0-9.]+)-",
            "contrib/rpm/vgpud.spec": r"^Version: (\S+)$",
        }.items()
    }
    assert {name: match and match[1] for name, match in found.items()} == dict.fromkeys(
        found, vgpud.__version__
    )


def test_packages_and_changelog_have_the_day_of_the_version() -> None:
    def first(name: str, pattern: str) -> str:
        found = re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
        assert found, name
        return found[1]

    day = date.fromisoformat(first("CHANGELOG.md", r"^## [0-9.]+ \((.*)\)$"))
    debian = first("contrib/debian/changelog", r"^ -- .*>  (.*)$")
    assert datetime.strptime(debian, "%a, %d %b %Y %H:%M:%S %z").date() == day
    rpm = first("contrib/rpm/vgpud.spec", r"^\* (\w+ \w+ \d+ \d+) ")
    assert datetime.strptime(f"{rpm} +0000", "%a %b %d %Y %z").date() == day
