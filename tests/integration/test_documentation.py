"""The documentation site: built as `make docs` builds it, read in a browser without the internet, and its diagrams."""

from __future__ import annotations

import http.server
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route

from tests.golden import ROOT
from tools.diagrams import DOCS, DiagramError, all_diagrams, draw, mermaid, opened

_SECONDS = 300


def build(site: Path, config: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of `make docs` with another configuration and target."""
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", "docs"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (line,) = (each for each in shown.splitlines() if "mkdocs build" in each)
    program = line.split().index(next(each for each in line.split() if each.endswith("mkdocs")))
    arguments = shlex.split(line)[program + 1 :]
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", *arguments, "--config-file", config, "--site-dir", site],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=_SECONDS,
        check=False,
    )  # fmt: skip


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("documentation") / "site"
    done = build(folder, ROOT / "mkdocs.yml")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The address of the site on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def page(chromium: Path) -> Iterator[Page]:
    """A page of a browser."""
    with opened(chromium) as page:
        yield page


def test_a_broken_link_and_a_missing_anchor_stop_the_build(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    with (tmp_path / "docs" / "glossary.md").open("a", encoding="utf-8") as file:
        file.write("\n[a](nowhere.md) [b](how-to/install.md#nowhere)\n")
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode != 0
    assert "'nowhere.md'" in done.stderr
    assert "'#nowhere'" in done.stderr


def test_a_page_with_pictures_shows_them_and_asks_no_other_machine(site: Path, address: str, page: Page) -> None:
    asked: list[str] = []

    def only_here(route: Route) -> None:
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", only_here)
    pages = [path for path in sorted(site.rglob("*.html")) if "<img " in path.read_text(encoding="utf-8")]
    assert len(pages) > 4
    for path in pages:
        page.goto(f"{address}/{path.relative_to(site).as_posix()}")
        broken = page.evaluate("() => [...document.images].filter(each => !each.naturalWidth).map(each => each.src)")
        assert broken == [], path
    page.unroute("**/*")
    assert asked == []


def test_the_search_finds_a_page_without_another_machine(address: str, page: Page) -> None:
    page.goto(f"{address}/index.html?q=last+will")  # asked once the search is ready
    page.locator("a.md-search-result__link").first.wait_for(state="attached")
    found = page.locator("a.md-search-result__link").evaluate_all("links => links.map(each => each.pathname)")
    assert any(each.endswith(("glossary.html", "mqtt-gateway.html", "mqtt.html")) for each in found)


def test_mermaid_draws_every_diagram(page: Page) -> None:
    try:
        script = mermaid(fetch=False)
    except DiagramError as error:
        pytest.skip(str(error))
    diagrams = all_diagrams(DOCS)
    drawn = draw(diagrams, script, page)
    assert drawn.keys() == {each.name for each in diagrams}
    assert all("<svg " in each for each in drawn.values())


def test_mermaid_rejects_an_invalid_diagram(page: Page) -> None:
    try:
        script = mermaid(fetch=False)
    except DiagramError as error:
        pytest.skip(str(error))
    diagram = all_diagrams(DOCS)[0]._replace(source="flowchart LR\n  a --\n")
    with pytest.raises(DiagramError, match="Mermaid cannot draw the diagram"):
        draw([diagram], script, page)
