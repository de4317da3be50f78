"""The Runbooks dashboard: docs/how-to/runbooks.md, with a panel for each alert rule."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import wrap

from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, words

DOCUMENT = Path(__file__).parents[3] / "docs" / "how-to" / "runbooks.md"

#: A section: the rule's key, its title, and the text.
_SECTION = re.compile(r"^## \S+\n\n\*\*(.+?)\.\*\* (.*?)(?=^## |\Z)", re.M | re.S)

#: Characters per line of a panel half as wide as a window of 1280 pixels with the menu open, and the height of a line
#: in rows of the grid.
_LINE, _HIGH = 62, 0.58

#: Code is not broken into lines; a longer command comes in parts, which fit on a phone.
_CODE = 44


def rows() -> Iterable[Row]:
    yield Row("runbooks", "", [*panels(DOCUMENT.read_text(encoding="utf-8"))], order=0)


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
    return re.sub(r"`([^`]+)`", _in_parts, joined)


def _in_parts(code: re.Match[str]) -> str:
    """A command in parts no longer than a line; ``&&`` and a pipe stay with the command after them."""
    held = re.sub(r"(&&|\|) ", "\\1\0", code[1])
    parts = wrap(held, _CODE, break_long_words=False, break_on_hyphens=False)
    return " ".join(f"`{part}`" for part in parts).replace("\0", " ")


def _named(link: re.Match[str]) -> str:
    """The text of a link to another page, with the page's path in the project."""
    return f"{link[1]} ({posixpath.normpath(posixpath.join('docs/how-to', link[2]))})"


def _height(content: str) -> int:
    """Rows of the grid: the panel's title, and each paragraph's lines with the space below."""
    lines = sum(math.ceil(len(each) / _LINE) + 0.6 for each in content.splitlines() if each)
    return math.ceil(1.5 + lines * _HIGH)
