"""Pages: their links lead somewhere, their sentences are short, and the site builds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import PAGES, ROOT, mean_words, prose, sentences

LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(page: Path) -> set[str]:
    """What can stand behind # in a link to the page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", head.lower()).strip()) for head in heads}


def broken(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    found = []
    for path, anchor in LINK.findall(re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(f"{path}#{anchor}" if anchor else path)
    return found


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "weights" / "README.md"], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert not broken(page)


def test_a_broken_link_and_a_broken_anchor_are_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# A head\n\n[a](#a-head) [b](b.md) [c](a.md#none) [d](https://example.org) ![e](e.jpg)\n")
    assert broken(page) == ["b.md", "a.md#none", "e.jpg"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_sentences_have_fewer_than_18_words_on_average(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert mean_words(text) < 18, "the longest: " + max(sentences(text), key=lambda s: len(s.split()))


def test_only_prose_counts() -> None:
    text = (
        "# Head\n\nTwo words.\n\n```sh\none two three. Four\n```\n\n| a b c | d |\n|---|---|\n\n- four words in this\n"
    )
    assert list(prose(text)) == ["Two words.", "four words in this"] and mean_words(text) == 3


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_asks_no_other_host(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    # With --quiet, mkdocs does not count warnings.
    arguments = ["build", "--strict", "--site-dir", str(tmp_path)]
    build = subprocess.run([sys.executable, "-m", "mkdocs", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    commands = (tmp_path / "commands.html").read_text(encoding="utf-8")
    assert "restore weights push" in commands and "--skip-existing" in commands
    for page in tmp_path.glob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"https?:", html), page.name
