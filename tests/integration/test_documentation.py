"""The documentation site: built as `make docs` builds it, read in a browser and in Grafana, and its diagrams."""

from __future__ import annotations

import http.server
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from playwright.sync_api import Page, Route
from urllib3.util import make_headers

from grafana.alerting import panel_of
from grafana.alerting.model import RUNBOOKS, runbook_page
from grafana.alerting.rules import RULES
from sensetig.demo.testbed import grafana, ports, processes
from sensetig.engines import locate
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


# --- the site in Grafana, as the playbook puts it there ------------------------------------------------------

#: Where the playbook has Grafana serve the site.
_SERVED = "public/sensetig"


def role() -> dict[str, Any]:
    """The playbook's variables for links to the pages in rules and dashboards."""
    read: dict[str, Any] = yaml.safe_load((ROOT / "ansible/roles/grafana/vars/main.yml").read_text(encoding="utf-8"))
    return read


def with_links(text: str, form: str, address: str = "") -> str:
    """A provisioned file as the playbook installs it."""
    return re.sub(role()["grafana_page"], form.replace("{{ sensetig_documentation_url }}", address), text)


def rules_with_links(address: str) -> str:
    """The alert rules as they are on a hub."""
    text = (ROOT / "grafana/provisioning/alerting/rules.yaml").read_text(encoding="utf-8")
    return with_links(text, role()["grafana_page_address"], address)


def board_with_links() -> str:
    """The dashboard *Runbooks* as it is on a hub."""
    text = (ROOT / "grafana/dashboards/runbooks.json").read_text(encoding="utf-8")
    return with_links(text, role()["grafana_page_link"])


def missing(site: Path, links: set[str]) -> set[str]:
    """The links below the site's root that lead to no page, or to no place on it."""
    lost = set()
    for link in links:
        page, _, anchor = link.partition("#")
        path = site / page
        if not path.is_file() or (anchor and f'id="{anchor}"' not in path.read_text(encoding="utf-8")):
            lost.add(link)
    return lost


def test_every_alert_leads_to_its_section_of_the_site(site: Path) -> None:
    groups = yaml.safe_load(rules_with_links("https://hub.local/" + _SERVED))["groups"]
    links = {}
    for rule in (rule for group in groups for rule in group["rules"]):
        *_, link = rule["annotations"]["description"].splitlines()
        links[rule["uid"]] = link.removeprefix(f"Documentation: https://hub.local/{_SERVED}/")
    pages = {rule.uid: runbook_page(rule.key).removeprefix("docs/") for rule in RULES}
    assert links == {uid: page.replace(".md", ".html") for uid, page in pages.items()}
    assert missing(site, set(links.values())) == set()


def test_every_page_that_a_runbook_names_is_in_the_site(site: Path) -> None:
    links = set(re.findall(rf"<a href='\./{_SERVED}/([^']+)' target='_blank'>", board_with_links()))
    assert len(links) > 3
    assert missing(site, links) == set()
    assert missing(site, {"how-to/runbooks.html#nowhere", "nowhere.html"}) == {
        "how-to/runbooks.html#nowhere", "nowhere.html",
    }  # fmt: skip


def test_every_page_that_a_program_names_is_in_the_site(site: Path) -> None:
    named = set()
    for path in [*(ROOT / "sensetig").rglob("*.py"), *(ROOT / "ansible").rglob("*.yml"), ROOT / "install"]:
        named |= set(re.findall(role()["grafana_page"], path.read_text(encoding="utf-8")))
    links = {f"{page}.html{anchor}" for page, anchor in named} - {"how-to/tls.html#own"}  # an example in a docstring
    assert len(links) > 10
    assert missing(site, links) == set()


@pytest.fixture
def served(site: Path, tmp_path: Path) -> Iterator[str]:
    """A Grafana that needs a login, with the site where the playbook puts it, and the runbooks with their links."""
    home = locate("grafana")
    if home is None:
        pytest.skip("no Grafana on this machine: set GRAFANA_HOME to its folder to read the site in it")
    public, provisioning = tmp_path / "public", tmp_path / "grafana" / "provisioning"
    public.mkdir()
    for path in (home.path / "public").iterdir():
        (public / path.name).symlink_to(path)
    (public / Path(role()["grafana_documentation_served"]).name).symlink_to(site)
    provisioning.mkdir(parents=True)
    for name in ("dashboards", "datasources", "plugins"):
        (provisioning / name).symlink_to(ROOT / "grafana" / "provisioning" / name)
    boards = tmp_path / "grafana" / "dashboards"
    boards.mkdir()
    (boards / "runbooks.json").write_text(board_with_links(), encoding="utf-8")
    shutil.copy(ROOT / "grafana" / "dashboards" / "device.json", boards)
    settings = {"SENSETIG_INFLUXDB_URL": "http://127.0.0.1:9", "SENSETIG_GRAFANA_TOKEN": "none",
                "GF_SERVER_STATIC_ROOT_PATH": str(public), "GF_AUTH_ANONYMOUS_ENABLED": "false",
                "GF_SECURITY_CONTENT_SECURITY_POLICY": "true"}  # fmt: skip
    identity, url = grafana.start(
        home.path, tmp_path, tmp_path / "data", ports.any_free(), settings, tmp_path / "log", password="only-for-this"  # noqa: S106
    )  # fmt: skip
    try:
        yield url
    finally:
        processes.stop([identity])


@pytest.mark.engines
@pytest.mark.timeout(900)
def test_grafana_serves_the_site_without_a_login_and_its_runbooks_lead_there(
    served: str, site: Path, page: Page
) -> None:
    for path in ("index.html", "how-to/runbooks.html", "search/search_index.json", "site.css"):
        answer = urllib3.request("GET", f"{served}/{_SERVED}/{path}", redirect=False, retries=False, timeout=120)
        assert (answer.status, answer.data) == (200, (site / path).read_bytes()), path

    page.set_extra_http_headers(make_headers(basic_auth=f"{grafana.ADMINISTRATOR}:only-for-this"))
    board, panel = panel_of(RUNBOOKS, "Environment out of limits")
    page.goto(f"{served}/d/{board}?viewPanel={panel}")
    link = page.locator(f"a[href*='{_SERVED}/how-to/calibration.html']")
    link.wait_for()
    with page.expect_popup() as opened_page:
        link.click()
    opened_page.value.wait_for_url("**/calibration.html")
    assert opened_page.value.url == f"{served}/{_SERVED}/how-to/calibration.html"
    assert opened_page.value.title().startswith("Calibrat")
    page.set_extra_http_headers({})
