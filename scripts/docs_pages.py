"""Hooks of mkdocs and mkdocstrings: the page of commands, CONTRIBUTING.md, links that leave docs/, and doctests."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from griffe import Extension, Object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from restore.cli.app import app
from restore.cli.help import DOCS_URL

ROOT = Path(__file__).parents[1]
PAGE = re.compile(re.escape(DOCS_URL) + r"/([\w-]+)\.md")
LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from other sources."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name, text in (("commands.md", commands_page()), ("contributing.md", contributing)):
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave docs/ to a page of the site, else to the repository; set lists apart from paragraphs."""
    is_outside = page.file.src_uri == "contributing.md"
    folder = "" if is_outside else posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def target(match: re.Match[str]) -> str:
        path, _, anchor = posixpath.normpath(posixpath.join(folder, match[2])).partition("#")
        if path == "CONTRIBUTING.md":
            path = "docs/contributing.md"
        if path.startswith("docs/"):
            path = posixpath.relpath(path, posixpath.join("docs", posixpath.dirname(page.file.src_uri)))
        elif (ROOT / path).exists():
            path = f"{config.extra['repository']}/blob/main/{path}"
        else:
            raise PluginError(f"{page.file.src_uri}: there is no {path} to link to")
        return f"{match[1]}{path}" + (f"#{anchor}" if anchor else "")

    # Python-Markdown wants an empty line above a list, GitHub does not.
    parts = re.split(r"(?ms)(^ *```.*?^ *```$)", LINK.sub(target, markdown))
    parts[::2] = [re.sub(r"(?m)^([^-\s|#].*)\n(?=- )", r"\1\n\n", part) for part in parts[::2]]
    return "".join(parts)


class DoctestsAsCode(Extension):
    """Shows examples that a docstring has outside of a section of examples as code."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Put a fence around each doctest."""
        if obj.docstring:
            # Up to the next empty line; the docstring is unindented.
            obj.docstring.value = re.sub(r"(?m)^>>> (?:.+\n?)+", r"```pycon\n\g<0>\n```\n", obj.docstring.value)


def commands_page() -> str:
    """Every command with its arguments and options, as `--help` shows them."""
    root = typer.main.get_command(app)
    lines = ["# Commands", "", "All commands and options. `restore COMMAND --help` prints the same.", ""]
    lines.append('<div class="options" markdown>')
    for name, command, context in _walk(root, typer.Context(root, info_name="restore"), "restore"):
        formatter = MarkdownFormatter()
        command.format_options(context, formatter)
        usage = f"{name} {' '.join(command.collect_usage_pieces(context))}"
        lines += ["", f"## {name}", "", _escaped(command.help or ""), "", "```text", usage, "```", "", *formatter.lines]
        lines += _epilog(command.epilog or "")
    return "\n".join([*lines, "</div>", ""])


class MarkdownFormatter:
    """Takes the place of Click's formatter of help: each section becomes a table."""

    width = 10_000  # characters; help of commands is cut beyond it

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """The head of a table."""
        self.lines += [f"| {title} | |", "|---|---|"]
        yield
        self.lines.append("")

    def write_dl(self, rows: Sequence[tuple[str, str]], **widths: int) -> None:
        """Names and texts as rows."""
        for name, text in rows:
            self.lines.append(f"| `{name.strip()}` | {_escaped(' '.join(text.split()))} |")


def _walk(command: Any, context: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    """The command itself, then those below it."""
    yield name, command, context
    for below in getattr(command, "commands", {}).values():
        if not below.hidden:
            yield from _walk(below, typer.Context(below, info_name=below.name, parent=context), f"{name} {below.name}")


def _escaped(text: str) -> str:
    """Plain text in which only `code` is Markdown."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([\\*_>\[\]#|])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "".join(parts)


def _epilog(text: str) -> Iterator[str]:
    """Lines indented below a heading are commands; the address of a page is a link."""
    for indented, lines in itertools.groupby(filter(str.strip, text.splitlines()), lambda line: line.startswith(" ")):
        if indented:
            yield from ("```sh", *(line.strip() for line in lines), "```", "")
        else:
            for line in lines:
                yield from (PAGE.sub(lambda page: f"[{page[1].capitalize()}]({page[1]}.md)", line), "")
