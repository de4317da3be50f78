"""The documentation site: its diagrams, its check for outside addresses, and pages that must cover all of something."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner
from mkdocs.exceptions import PluginError
from rich.console import Console
from starlette.applications import Starlette
from starlette.routing import Route

from collectors.core.registry import catalogue
from collectors.core.settings import variable
from grafana.alerting.model import runbook_page
from grafana.alerting.rules import RULES
from sensetig import documentation
from sensetig import site as sites
from sensetig.__main__ import main
from sensetig.declarations import collector_module
from sensetig.doctor import machine
from sensetig.doctor.checks import CHECKS
from sensetig.doctor.findings import Check, Finding, Result, good, hand
from sensetig.doctor.show import page, with_links
from sensetig.documentation import linked
from sensetig.outbox.app import build, build_receiver
from sensetig.policy import LOOK
from sensetig.reference.http import ENROLMENT, OUTBOX, RECEIVER, Service
from sensetig.security import service as enrolment
from tests.golden import ROOT
from tools.diagrams import DOCS, MERMAID, DiagramError, all_diagrams, find, mermaid, picture
from tools.documentation import on_page_markdown, on_post_build, outside

PAGE = "Before.\n\n```mermaid\nflowchart LR\n  accTitle: The way of a point\n  a --> b\n```\n\nAfter.\n"

DRAWN = {
    "deployment-of-a-hub-with-edges", "components-of-the-code", "states-of-a-device", "states-of-a-camera-event",
    "states-of-an-enrolment", "states-of-a-point-that-waits", "sequence-of-one-sample-from-sensor-to-panel",
    "sequence-of-one-command", "sequence-of-one-upgrade",
}  # fmt: skip


# --- diagrams ---------------------------------------------------------------------------------------


def test_the_documentation_draws_structure_states_and_sequences() -> None:
    assert {each.name for each in all_diagrams(DOCS)} >= DRAWN


def test_every_diagram_has_a_current_picture_and_every_picture_a_diagram() -> None:
    drawn = {picture(DOCS, each) for each in all_diagrams(DOCS)}
    assert drawn == set((DOCS / "diagrams").iterdir()), "run: make diagrams"


@pytest.mark.parametrize("path", sorted((DOCS / "diagrams").iterdir()), ids=lambda path: path.stem)
def test_a_picture_is_plain_svg(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "<svg " in text
    assert not re.search(r"<script|<foreignObject|<image|@import|url\(\s*[\"']?(?:https?:)?//", text)


def test_a_diagram_is_found_with_its_title_and_its_place() -> None:
    (diagram,) = find(PAGE)
    assert (diagram.title, diagram.name) == ("The way of a point", "the-way-of-a-point")
    assert PAGE[diagram.begin : diagram.end].startswith("```mermaid\nflowchart")


def test_a_diagram_without_a_title_is_refused() -> None:
    with pytest.raises(DiagramError, match="a diagram has no line accTitle: flowchart LR"):
        list(find("```mermaid\nflowchart LR\n  a --> b\n```\n"))


def test_two_diagrams_with_one_title_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(PAGE)
    (tmp_path / "b.md").write_text(PAGE)
    with pytest.raises(DiagramError, match="two diagrams have the title 'The way of a point'"):
        all_diagrams(tmp_path)


def kept(docs: Path, page: str) -> None:
    """Write the picture of the page's diagram."""
    (diagram,) = find(page)
    (docs / "diagrams").mkdir(exist_ok=True)
    (docs / "diagrams" / f"{diagram.name}.svg").write_text(f"<!-- {diagram.digest} -->\n<svg/>\n")


def rendered(docs: Path, page: str, source: str = "explanation/page.md") -> str:
    return on_page_markdown(
        page, page=SimpleNamespace(file=SimpleNamespace(src_uri=source)), config=SimpleNamespace(docs_dir=str(docs))
    )


def test_the_build_shows_the_picture_in_place_of_the_diagram(tmp_path: Path) -> None:
    kept(tmp_path, PAGE)
    shown = rendered(tmp_path, PAGE)
    assert shown == "Before.\n\n![The way of a point](../diagrams/the-way-of-a-point.svg){ .diagram }\n\nAfter.\n"
    assert "](diagrams/the-way" in rendered(tmp_path, PAGE, "index.md")


def test_the_build_refuses_a_diagram_that_has_changed_since_it_was_drawn(tmp_path: Path) -> None:
    kept(tmp_path, PAGE)
    with pytest.raises(PluginError, match=r"explanation/page\.md: the picture .* is not current; run: make diagrams"):
        rendered(tmp_path, PAGE.replace("a --> b", "b --> a"))


def test_the_build_refuses_a_diagram_that_was_never_drawn(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="run: make diagrams"):
        rendered(tmp_path, PAGE)


def test_mermaid_with_another_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiagramError, match="run: make diagrams"):
        mermaid(tmp_path, fetch=False)
    (tmp_path / f"mermaid-{MERMAID}.min.js").write_text("other")
    with pytest.raises(DiagramError, match="its digest is another"):
        mermaid(tmp_path, fetch=False)


def test_a_term_of_the_glossary_has_an_anchor(tmp_path: Path) -> None:
    page = "# Glossary\n\n**Last will**\n:   A message.\n\n**Bold** text\n"
    shown = rendered(tmp_path, page, "glossary.md")
    assert shown == page.replace("**Last will**", '<a id="last-will"></a>**Last will**')
    assert rendered(tmp_path, page, "index.md") == page


# --- addresses that a browser would load ----------------------------------------------------------------


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/x.css">',
        '<img alt="" src=HTTP://pictures.example/x.png>',
        '<iframe src=" https://video.example/"></iframe>',
    ],
)
def test_an_address_that_a_browser_loads_is_found(html: str) -> None:
    assert len(list(outside(f"<p>{html}</p>"))) == 1


def test_links_to_follow_and_own_files_are_allowed() -> None:
    html = '<a href="https://example.org/">x</a><script src="../assets/x.js"></script><img src="pictures/x.png">'
    assert list(outside(html)) == []


def test_the_build_refuses_a_page_that_loads_something_from_another_machine(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script src="https://cdn.example/x.js"></script>')
    with pytest.raises(PluginError, match=r"index\.html loads https://cdn\.example/x\.js"):
        on_post_build(SimpleNamespace(site_dir=str(tmp_path)))


# --- pages that cover all of something ------------------------------------------------------------------


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_troubleshooting_leads_to_the_runbook_of_every_alert() -> None:
    linked = set(re.findall(r"\((how-to/runbooks[\w-]*\.md#[\w-]+)\)", read("troubleshooting.md")))
    assert linked == {runbook_page(rule.key).removeprefix("docs/") for rule in RULES}


def test_troubleshooting_names_the_checks_of_the_doctor_as_they_are() -> None:
    named = re.findall(r"the doctor's lines? ([^;|\n]*)", read("troubleshooting.md"))
    titles = {title for each in named for title in re.findall(r"\*([^*]+)\*", each)}
    assert titles
    assert titles <= {check.title for check in CHECKS}


@pytest.mark.parametrize(
    ("service", "application"),
    [
        (OUTBOX, build(lambda _destination, _lines: False, lambda: 0)),
        (RECEIVER, build_receiver(lambda *_: pytest.fail("no request is made"))),
        (ENROLMENT, enrolment.application(Path("pending"), Path("accepted"), print)),
    ],
    ids=lambda each: each.title if isinstance(each, Service) else "",
)
def test_the_reference_has_the_endpoint_of_each_service(service: Service, application: Starlette) -> None:
    (route,) = application.routes
    assert isinstance(route, Route)
    assert (route.path, route.methods) == (service.path, {service.method})


#: Variables that only the tests read.
_NOT_FOR_USERS = {"SENSETIG_E2E"}


def test_every_variable_of_the_configuration_is_in_the_reference() -> None:
    shown = set(re.findall(r"SENSETIG_\w+", read("reference/environment.md")))
    settings = {variable(name, each) for name in catalogue() for each in collector_module(name).SETTINGS}
    folders = ("telegraf", "grafana/provisioning", "systemd", "ansible", "sensetig")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    used = set()
    for path in [*files, ROOT / "install"]:
        if path.suffix not in (".pyc", ".png"):
            used |= set(re.findall(r"\bSENSETIG_[A-Z_]+[A-Z]\b", path.read_text(encoding="utf-8")))
    known = shown | settings | _NOT_FOR_USERS
    assert {each for each in used - known if not any(name.startswith(f"{each}_") for name in known)} == set()


def test_pages_that_programs_and_settings_name_exist() -> None:
    folders = ("ansible", "collectors", "engines", "grafana", "mosquitto", "sensetig", "systemd", "telegraf", "tools")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    named: dict[str, set[str]] = {}
    for path in [ROOT / "install", ROOT / "Makefile", *files]:
        if path.suffix not in (".pyc", ".png", ".gz") and "node_modules" not in path.parts:
            for page in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text(encoding="utf-8", errors="replace")):
                named.setdefault(page, set()).add(path.relative_to(ROOT).as_posix())
    assert len(named) > 10
    assert {page: places for page, places in named.items() if not (ROOT / page).is_file()} == {}


# --- links to the site in messages -----------------------------------------------------------------------

SITE = "https://hub.local/public/sensetig"


def test_a_message_names_the_file_of_a_page_without_a_site_and_its_address_with_one() -> None:
    said = "set it (docs/how-to/tls.md), see docs/how-to/runbooks.md#under-voltage and docs/pictures"
    assert linked(said, "") == said
    assert linked(said, SITE) == (
        f"set it ({SITE}/how-to/tls.html), see {SITE}/how-to/runbooks.html#under-voltage and docs/pictures"
    )


def test_the_playbook_and_the_command_find_pages_in_the_same_form() -> None:
    role = yaml.safe_load((ROOT / "ansible/roles/grafana/vars/main.yml").read_text(encoding="utf-8"))
    assert role["grafana_page"] == documentation.PAGE.pattern


@pytest.mark.parametrize("url", ["", SITE])
def test_an_error_of_a_command_leads_to_the_site_of_this_installation(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc/sensetig").mkdir(parents=True)
    if url:
        (tmp_path / "etc/sensetig/site.toml").write_text(f'documentation_url = "{url}"\n')
    monkeypatch.setattr(sites, "TOP", tmp_path)
    monkeypatch.setattr(machine, "installed", lambda _top: False)
    monkeypatch.setattr(machine, "not_installed", lambda _top: "it is not here: docs/how-to/install.md")
    ended = CliRunner().invoke(main, ["info"])
    assert ended.exit_code == 1
    assert ended.output == f"Error: it is not here: {linked('docs/how-to/install.md', url)}\n"


def test_the_doctor_leads_to_the_site_of_this_installation() -> None:
    check = Check("x", "X", lambda _: None, lambda _: [])
    found = Finding(LOOK, "no channel is set", hand("set one (docs/how-to/phone-alerts.md)"))
    (result,) = with_links([Result(check, (found, *good("fine")))], SITE)
    assert result.findings[0].cure == hand(f"set one ({SITE}/how-to/phone-alerts.html)")
    assert result.findings[1].cure is None

    def shown(*findings: Finding) -> str:
        console = Console(file=io.StringIO(), width=120, color_system=None)
        console.print(page("attic", [Result(check, findings)], SITE))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert isinstance(text, str)
        return text

    assert f"{SITE}/troubleshooting.html" in shown(found)
    assert "troubleshooting" not in shown(*good("fine"))
