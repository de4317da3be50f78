"""Draw the diagrams of the documentation: ``python -m tools.diagrams``.

A diagram is a fenced block ``mermaid`` in a page, with a line ``accTitle: Title``. Mermaid draws it in Chromium. The
picture is committed as ``docs/diagrams/<title>.svg`` with a digest of the block, so that the build of the site
detects a stale picture without a browser.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

#: The version of Mermaid that draws, and the digest of its script.
MERMAID = "11.17.2"
MERMAID_SHA256 = "581ed7d74bd9048d0e3a91363927d72ef22942d7722546b27f7cc29e35390eb8"

_BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r"^ *accTitle: *(\S.*?) *$", re.MULTILINE)
_DIGEST = re.compile(r"<!-- ([0-9a-f]{64}) -->")

#: Texts are SVG's own, because a picture cannot show the HTML that Mermaid would put into it.
_SETTINGS = """{
  startOnLoad: false, securityLevel: "strict", theme: "neutral", htmlLabels: false, deterministicIds: true,
  fontFamily: "sans-serif", flowchart: {htmlLabels: false, useMaxWidth: false},
  sequence: {useMaxWidth: false}, state: {useMaxWidth: false},
}"""
_TIMEOUT_SECONDS = 300


class DiagramError(Exception):
    """A diagram without a title, without a current picture, or that Mermaid refuses; the text is one sentence."""


class Diagram(NamedTuple):
    """A diagram of a page.

    Args:
        title: its accTitle.
        source: what Mermaid reads.
        begin, end: where its block is in the page.
    """

    title: str
    source: str
    begin: int
    end: int

    @property
    def name(self) -> str:
        """The name of its picture, without the ending."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def digest(self) -> str:
        """Of the source and of what draws it."""
        return hashlib.sha256("\0".join((MERMAID_SHA256, _SETTINGS, self.source)).encode()).hexdigest()


def find(page: str) -> Iterator[Diagram]:
    """The diagrams of a page, in their order. Raises DiagramError for one without a title."""
    for block in _BLOCK.finditer(page):
        title = _TITLE.search(block[1])
        if title is None:
            raise DiagramError(f"a diagram has no line accTitle: {block[1].strip().splitlines()[0]}")
        yield Diagram(title[1], block[1], *block.span())


def picture(docs: Path, diagram: Diagram) -> Path:
    """The picture of a diagram. Raises DiagramError if it is missing or was drawn of another source."""
    path = docs / "diagrams" / f"{diagram.name}.svg"
    if not path.is_file() or _drawn_of(path) != diagram.digest:
        raise DiagramError(f"the picture of the diagram {diagram.title!r} is not current; run: make diagrams")
    return path


def _drawn_of(path: Path) -> str | None:
    found = _DIGEST.search(path.read_text(encoding="utf-8"))
    return None if found is None else found[1]


def all_diagrams(docs: Path) -> list[Diagram]:
    """The diagrams of all pages. Raises DiagramError where two have one title."""
    found: dict[str, Diagram] = {}
    for path in sorted(docs.rglob("*.md")):
        for diagram in find(path.read_text(encoding="utf-8")):
            if diagram.name in found:
                raise DiagramError(f"two diagrams have the title {diagram.title!r}")
            found[diagram.name] = diagram
    return list(found.values())


def draw(diagrams: Iterable[Diagram], script: Path, page: Page) -> dict[str, str]:
    """The pictures as SVG, by the names of the diagrams. Raises DiagramError where Mermaid refuses one.

    Args:
        script: Mermaid, as one file for browsers.
        page: a page of a browser.
    """
    from playwright.sync_api import Error

    page.goto("about:blank")
    page.add_script_tag(path=script)
    page.evaluate(f"() => mermaid.initialize({_SETTINGS})")
    pictures = {}
    for diagram in diagrams:
        try:
            svg = page.evaluate(
                "async ([id, source]) => (await mermaid.render(id, source)).svg", [diagram.name, diagram.source]
            )
        except Error as error:
            said = " ".join(error.message.split())
            raise DiagramError(f"Mermaid cannot draw the diagram {diagram.title!r}: {said}") from None
        pictures[diagram.name] = f"<!-- {diagram.digest} -->\n{svg}\n"
    return pictures


@contextmanager
def opened(chromium: str | Path) -> Iterator[Page]:
    """A page of a browser.

    Args:
        chromium: the browser's program.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"], timeout=_TIMEOUT_SECONDS * 1000
        )
        page = browser.new_page()
        page.set_default_timeout(_TIMEOUT_SECONDS * 1000)
        yield page
        browser.close()


def mermaid(folder: Path | None = None, *, fetch: bool = True) -> Path:
    """Mermaid's script, from the cache or by npm. Raises DiagramError if it cannot be had.

    Args:
        folder: the cache; by default the one of the engines.
        fetch: whether npm may fetch it.
    """
    if folder is None:
        from sensetig.engines import cache

        folder = cache.top(os.environ)
    path = folder / f"mermaid-{MERMAID}.min.js"
    if not path.is_file():
        if not fetch:
            raise DiagramError(f"Mermaid is not in {folder}; run: make diagrams")
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != MERMAID_SHA256:
        raise DiagramError(f"{path} is not Mermaid {MERMAID}: its digest is another; remove it")
    return path


def _fetch(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="mermaid-") as folder:
        try:
            subprocess.run(
                ["npm", "pack", "--silent", f"mermaid@{MERMAID}", "--pack-destination", folder],
                check=True, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS,
            )  # fmt: skip
        except FileNotFoundError:
            raise DiagramError("Mermaid is fetched by npm, and there is none: run sudo apt install npm") from None
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise DiagramError(f"npm cannot fetch Mermaid: {error}") from None
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            script = packed.extractfile("package/dist/mermaid.min.js")
            assert script is not None
            part = Path(folder) / "part"
            part.write_bytes(script.read())
        part.replace(path)


@click.command()
def main() -> None:
    """Draw the diagrams of the documentation that have changed."""
    folder = DOCS / "diagrams"
    folder.mkdir(exist_ok=True)
    try:
        diagrams = all_diagrams(DOCS)
        stale = [each for each in diagrams if not _is_current(each)]
        pictures = _drawn(stale) if stale else {}
    except DiagramError as error:
        raise click.ClickException(str(error)) from None
    for name, svg in pictures.items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
        click.echo(f"drew {name}.svg")
    for path in sorted(folder.glob("*.svg")):
        if path.stem not in {each.name for each in diagrams}:
            path.unlink()
            click.echo(f"removed {path.name}, which no page has")


def _drawn(diagrams: Iterable[Diagram]) -> dict[str, str]:
    from sensetig.report.export import browser

    script = mermaid()
    with opened(browser()) as page:
        return draw(diagrams, script, page)


def _is_current(diagram: Diagram) -> bool:
    try:
        picture(DOCS, diagram)
    except DiagramError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
