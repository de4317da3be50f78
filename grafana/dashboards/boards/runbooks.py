"""The Runbooks dashboard: the pages of runbooks in docs/how-to, with a panel for each alert rule."""

from __future__ import annotations

import html
import math
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from grafana.alerting.model import RUNBOOK_PAGES
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, words

DOCUMENTS = [Path(__file__).parents[3] / page for page in RUNBOOK_PAGES]

#: A section: the rule's key, its title, and the text.
_SECTION = re.compile(r"^## \S+\n\n\*\*(.+?)\.\*\* (.*?)(?=^## |\Z)", re.M | re.S)

#: Characters per line of a panel half as wide as a window of 1280 pixels with the menu open, and the height of a line
#: in rows of the grid.
_LINE, _HIGH = 62, 0.58

#: Characters of a command that a phone shows in one line.
_COMMAND = 36


def rows() -> Iterable[Row]:
    yield Row(
        "runbooks",
        "",
        [panel for document in DOCUMENTS for panel in panels(document.read_text(encoding="utf-8"))],
        order=0,
    )


def panels(text: str) -> Iterator[Panel]:
    """A panel for each section of the document, in its order."""
    for title, section in _SECTION.findall(text):
        content = in_grafana(section)
        yield words(title, content, size=(12, _height(content)))


def in_grafana(section: str) -> str:
    """Markdown as Grafana's panels show it well: a paragraph on one line, and no link to where Grafana has nothing.

    Another document is named by its file, another section by its title, which is its panel's.
    """
    named = re.sub(r"\[([^\]]+)\]\(#[\w-]+\)", r"*\1*", section.strip())
    named = re.sub(r"\[([^\]]+)\]\(([\w./-]+\.md)(?:#[\w-]+)?\)", _named, named)
    joined = re.sub(r"(?<!\n)\n(?!\n|\d+\. |- ) *", " ", named)
    return re.sub(r"`([^`]+)`", _wrapping, joined)


def _wrapping(code: re.Match[str]) -> str:
    """A command that is wider than a phone as an element that Grafana wraps, which it does not do with code."""
    return f"<kbd>{html.escape(code[1], quote=False)}</kbd>" if len(code[1]) > _COMMAND else code[0]


def _named(link: re.Match[str]) -> str:
    """The text of a link to another page, with the page's path in the project."""
    return f"{link[1]} ({posixpath.normpath(posixpath.join('docs/how-to', link[2]))})"


def _height(content: str) -> int:
    """Rows of the grid: the panel's title, and each paragraph's lines with the space below."""
    lines = sum(math.ceil(len(each) / _LINE) + 0.6 for each in content.splitlines() if each)
    return math.ceil(1.5 + lines * _HIGH)
