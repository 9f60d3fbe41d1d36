"""What the docs name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = (ROOT, ROOT / "src", ROOT / "src/magicpose", ROOT / "docs")
HISTORY = {"log.md"}  # says what was, so names what has moved since
PAGES = sorted(page for page in (ROOT / "docs").glob("*.md") if page.name not in HISTORY)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_every_file_of_ours_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(
        r"`((?:[\w.-]+/)*[\w-]+\.py|(?:src|runs|configs|scripts|examples|tests)/[\w./-]+)`", page.read_text()
    )
    missing = sorted({name for name in named if not any((place / name).exists() for place in PLACES)})
    assert not missing, f"{page.name} names {missing}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [link for link in links if "://" not in link]
    missing = sorted({link for link in local if not (page.parent / link).exists()})
    assert not missing, f"{page.name} links to {missing}"
