"""Reads the pages that people read: their blocks of code, commands, links and sentences."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^([ \t]*)(`{3,})([\w-]*)[^\n`]*\n(.*?)^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
_ENDS = {"&&", "||", ";", "|"}


class Block(NamedTuple):
    """A fenced block of code."""

    page: str
    line: int  # of its first line of code
    language: str
    code: str


class Command(NamedTuple):
    """One command of a shell."""

    where: str  # page, line, and which one of the line from the second on
    words: tuple[str, ...]
    stdin: str | None = None


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        indent, code = match[1], match[4]
        line = text[: match.start(4)].count("\n") + 1
        code = "".join(row.removeprefix(indent) for row in code.splitlines(keepends=True))
        yield Block(page.relative_to(ROOT).as_posix(), line, match[3], code)


def commands(block: Block) -> Iterator[Command]:
    """The simple commands of a block of sh or PowerShell."""
    code = block.code.replace("\\\n", "  ")
    for number, line in enumerate(code.splitlines()):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        if block.language == "powershell":
            lexer.escape = ""
        words: list[str] = []
        count = 0
        for word in [*lexer, ";"]:
            if word not in _ENDS:
                words.append(word)
                continue
            if words:
                place = f"{block.page}:{block.line + number}" + (f":{count}" if count else "")
                yield _command(place, words)
                count += 1
            words = []


def _command(where: str, words: list[str]) -> Command:
    """Take away variables before a command and redirections behind it."""
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    stdin, kept, redirection = None, [], ""
    for word in words:
        if redirection:
            stdin = word if redirection == "<" else stdin
            redirection = ""
        elif set(word) <= set("<>"):
            redirection = word
        else:
            kept.append(word)
    return Command(where, tuple(kept), stdin)


def restore_commands() -> list[Command]:
    """Every `restore` and every `torchrun` of every page."""
    shell = (block for page in PAGES for block in blocks(page) if block.language in ("sh", "powershell"))
    return [c for block in shell for c in commands(block) if c.words and c.words[0] in ("restore", "torchrun")]


def inline_commands() -> list[Command]:
    """Every `restore` in a piece of code within a line, such as `restore weights list`."""
    found = []
    for page in PAGES:
        text = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), page.read_text(encoding="utf-8"))
        for match in re.finditer(r"`(restore [a-z][^`\n]*)`", text):
            where = f"{page.relative_to(ROOT).as_posix()}:{text[: match.start()].count(chr(10)) + 1}"
            found.append(Command(where, tuple(shlex.split(match[1]))))
    return found


def scripts() -> list[Command]:
    """Every `python scripts/...` of every page."""
    shell = (block for page in PAGES for block in blocks(page) if block.language == "sh")
    return [c for block in shell for c in commands(block) if c.words[1:] and c.words[1].startswith("scripts/")]


def prose(text: str) -> Iterator[str]:
    """Paragraphs and items of lists, without code, tables, headings, pictures and marks."""
    text = re.sub(r"<!--.*?-->", "", _FENCE.sub("\n", text), flags=re.DOTALL)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "code", text)
    paragraph: list[str] = []
    for line in [*text.splitlines(), ""]:
        row = line.strip()
        is_item = re.match(r"([-*+]|\d+\.) ", row)
        is_prose = row and not re.match(r"#|\||<|={3} |:{3} |>|-{3}", row) and not re.fullmatch(r"\w+: .*\[.*\]", row)
        if (is_item or not is_prose) and paragraph:
            yield " ".join(paragraph)
            paragraph = []
        if is_prose:
            paragraph.append(row[is_item.end() :] if is_item else row)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a page.

    >>> list(sentences("# Head\\n\\nOne is here. Two, by Lee et al. 2022.\\n\\n- three `a. B`\\n- [four](x.md).\\n"))
    ['One is here.', 'Two, by Lee et al. 2022.', 'three code', 'four.']
    """
    for paragraph in prose(text):
        plain = paragraph.replace("*", "")
        ends = [
            m.end()
            for m in re.finditer(r"(?<!et al)(?<!e\.g)(?<!i\.e)(?<!vs)[.!?][)\"']?\s+(?=[\"'(]?[A-Z0-9c])", plain)
        ]
        yield from (plain[a:b].strip() for a, b in pairwise([0, *ends, len(plain)]))


def mean_words(text: str) -> float:
    """Words a sentence, on average; a piece of code is one word."""
    lengths = [sum(any(c.isalnum() for c in word) for word in s.split()) for s in sentences(text)]
    return sum(lengths) / max(len(lengths), 1)
