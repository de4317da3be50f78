"""Extensions of the documentation site: the diagrams, and the check that pages load nothing from other hosts.

MkDocs calls this module as a hook (``mkdocs.yml``). A fenced block ``mermaid`` is replaced by its picture from
``python -m tools.diagrams``. If the block has changed since the picture was drawn, the build fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

from tools.diagrams import Diagram, DiagramError, find, picture

#: Element -> the attribute with an address that a browser loads by itself.
_LOADED = {
    "audio": "src", "embed": "src", "iframe": "src", "img": "src", "input": "src", "link": "href", "object": "data",
    "script": "src", "source": "src", "track": "src", "video": "src",
}  # fmt: skip
#: A term of the glossary, which pages link to by its name.
_TERM = re.compile(r"^\*\*(.+)\*\*$(?=\n:   )", re.MULTILINE)
_OUTSIDE = ("http:", "https:", "//")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Replace each diagram of a page by its picture, and put anchors into the glossary.

    Raises PluginError where a picture is missing or stale.
    """
    source = page.file.src_uri
    up = "../" * source.count("/")
    try:
        for diagram in reversed(list(find(markdown))):
            path = picture(Path(config.docs_dir), diagram)
            block = f"![{diagram.title}]({up}{path.relative_to(config.docs_dir).as_posix()}){{ .diagram }}"
            markdown = markdown[: diagram.begin] + block + markdown[diagram.end :]
    except DiagramError as error:
        raise PluginError(f"{source}: {error}") from None
    if source == "glossary.md":
        markdown = with_anchors(markdown)
    return markdown


def with_anchors(glossary: str) -> str:
    """The glossary with an anchor at each term, such as ``last-will``."""
    return _TERM.sub(lambda term: f'<a id="{term[1].lower().replace(" ", "-")}"></a>{term[0]}', glossary)


def on_post_build(config: Any) -> None:
    """Raise PluginError where a page of the site loads something from another machine."""
    site = Path(config.site_dir)
    for path in sorted(site.rglob("*.html")):
        for address in outside(path.read_text(encoding="utf-8")):
            raise PluginError(f"{path.relative_to(site)} loads {address}, and the site must work without the internet")


def outside(html: str) -> Iterator[str]:
    """The addresses on other machines that a browser loads for this page. A link to follow is none of them."""
    parser = _Loads()
    parser.feed(html)
    parser.close()
    yield from parser.found


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(_LOADED.get(tag, "")) or ""
        if address.strip().lower().startswith(_OUTSIDE):
            self.found.append(address)


__all__ = ["Diagram", "on_page_markdown", "on_post_build", "outside"]
