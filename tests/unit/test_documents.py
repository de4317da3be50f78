"""The documents' statements about the configuration are true."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from collectors.core.registry import catalogue
from tests.golden import ROOT
from tools.prose import GENERATED

SNIPPETS = ROOT / "telegraf" / "telegraf.d"


@pytest.mark.parametrize("name", [each for each in catalogue() if (SNIPPETS / f"{each}.conf").is_file()])
def test_a_snippet_has_one_form_for_exec_unless_its_collector_follows_events(name: str) -> None:
    snippet = (SNIPPETS / f"{name}.conf").read_text(encoding="utf-8")
    # What follows events has no form for exec, and what metrics go through has none either.
    follows = re.search(r'^\s*signal = "none"|^\[\[processors\.execd\]\]', snippet, re.MULTILINE) is not None
    active, *others = re.findall(r"^(?:# )?\[\[(?:inputs|processors)\.execd?\]\]", snippet, re.MULTILINE)
    if follows:
        assert active in ("[[inputs.execd]]", "[[processors.execd]]")
        assert others == []
    else:
        # A collector that stays is also shown as a fresh process; one that is a fresh process already needs no second.
        assert (active, others) in (("[[inputs.execd]]", ["# [[inputs.exec]]"]), ("[[inputs.exec]]", []))


def test_the_documents_give_telegrafs_buffer_the_size_that_it_has() -> None:
    configuration = tomllib.loads((ROOT / "telegraf" / "telegraf.conf").read_text(encoding="utf-8"))
    size = f"{configuration['agent']['metric_buffer_limit']:,}"
    assert size in (ROOT / "docs" / "explanation" / "telegraf.md").read_text(encoding="utf-8")


def mapped() -> set[str]:
    """The paths in the map of CONTRIBUTING.md."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = re.search(r"^## Map\n\n```\n(.*?)^```$", contributing, re.MULTILINE | re.DOTALL)
    assert tree is not None
    paths, folder = set(), ""
    for line in tree[1].splitlines():
        path = line.split()[0]
        folder = folder if line.startswith(" ") else path
        paths.add((folder + path if line.startswith(" ") else path).rstrip("/"))
    return paths


def test_the_map_in_contributing_has_every_folder() -> None:
    def inside(folder: Path) -> set[str]:
        return {
            path.relative_to(ROOT).as_posix()
            for path in folder.iterdir()
            if not path.name.startswith((".", "__")) and path.is_dir() and path.name not in ("build", "dist")
        }

    collectors = {f"collectors/{path.name}" for path in (ROOT / "collectors").glob("[!_]*.py")}
    top = inside(ROOT)
    described = {path.split("/")[0] for path in mapped() if "/" in path}
    assert mapped() == top | collectors | set().union(*(inside(ROOT / folder) for folder in described))


PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "ansible").rglob("*.md")]
)


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    # In the glossary, the site adds an anchor for each term.
    headings = re.findall(r"^#+ (.+)$|^\*\*(.+)\*\*$(?=\n:   )", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in map("".join, headings)}


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_resolve(page: str) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        target = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.relative_to(ROOT).as_posix())):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES)
def test_no_page_repeats_the_settings_that_are_generated(page: str) -> None:
    if page != "docs/reference/settings.md":
        assert not re.search(r"^\| (?:setting|key in )\b", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)


def names_in_the_reference() -> set[str]:
    """Settings, variables of the playbook, and environment variables that generated pages have."""
    reference = ROOT / "docs" / "reference"
    names: set[str] = set()
    for page in ("settings", "ansible-variables", "environment"):
        text = (reference / f"{page}.md").read_text(encoding="utf-8")
        names |= set(re.findall(r"^\| `([\w.]+)`", text, re.MULTILINE))
    return names


def repeated(text: str, known: set[str]) -> list[str]:
    """The headers of the tables whose first column is mostly names that the reference has."""
    found = []
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        lines: list[str] = table.splitlines()
        first = [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in lines[2:]]
        if sum(any(name in known for name in names) for names in first) * 2 > len(first):
            found.append(lines[0])
    return found


@pytest.mark.parametrize("page", PAGES)
def test_no_page_tabulates_names_that_a_generated_page_has(page: str) -> None:
    if page not in GENERATED and not page.startswith("ansible/"):
        assert repeated((ROOT / page).read_text(encoding="utf-8"), names_in_the_reference()) == []


def test_a_table_of_settings_is_found() -> None:
    table = "| name | meaning |\n| --- | --- |\n| `backup_time` | x |\n| `SENSETIG_INTERVAL` | y |\n"
    assert repeated(f"Text.\n\n{table}\nText.\n", names_in_the_reference()) == ["| name | meaning |"]
    assert (
        repeated("| what you see | check |\n| --- | --- |\n| slow | `backup_time` |\n", names_in_the_reference()) == []
    )


def test_one_page_tabulates_the_ports() -> None:
    tables = [
        page
        for page in PAGES
        if page not in GENERATED and re.search(r"(?:^\| `?\d{2,5}`? \|.*\n){2}", (ROOT / page).read_text("utf-8"), re.M)
    ]
    assert tables == ["docs/explanation/security.md"]


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    folders = "collectors|sensetig|telegraf|influxdb|mosquitto|systemd|engines|grafana|ansible|docs|tests|tools"
    named = re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./-]*(?:\.(?:py|conf|json|toml|service|md|sh)\b|/(?=`)))", text)
    missing = [
        path
        for path in named
        if not re.search("open_files|dht22", path)  # pages build these collectors
        and not (ROOT / page).parent.joinpath(path).exists()  # a link
        and not (ROOT / path).exists()
    ]
    assert page in GENERATED or missing == []


def test_the_readme_lists_every_collector_and_every_dashboard() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[`(\w+)`\]", readme, re.MULTILINE)) == set(catalogue())
    boards = [json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "grafana/dashboards").glob("*.json")]
    titles = {board["title"] for board in boards}
    (sentence,) = re.findall(r"The dashboards (\*Fleet\*.*?) are built", readme, re.DOTALL)
    assert {" ".join(title.split()) for title in re.findall(r"\*([^*]+)\*", sentence)} == titles
    listed = (ROOT / "docs/how-to/dashboards.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (.+?) \| .* \| `/d/", listed, re.MULTILINE)) == titles


def test_the_pages_state_the_retention_of_the_buckets() -> None:
    buckets = tomllib.loads((ROOT / "influxdb" / "buckets.toml").read_text(encoding="utf-8"))
    days = (buckets["raw"]["retention_days"], buckets["hourly"]["retention_days"])
    assert days == (30, 5 * 365 + 2), "the pages below state 30 days and five years"
    for page in ("README.md", "docs/glossary.md", "docs/explanation/architecture.md", "docs/explanation/retention.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert "30 days" in text, page
        assert "five years" in text, page


def test_no_page_counts_the_alert_rules() -> None:
    counting = [
        page for page in PAGES if re.search(r"\b\d+ (?:alert )?rules\b", (ROOT / page).read_text(encoding="utf-8"))
    ]
    assert [page for page in counting if page != "CHANGELOG.md"] == []


def threats() -> list[str]:
    """The rows of the threat model."""
    text = (ROOT / "docs" / "explanation" / "threat-model.md").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith("|")][2:]


def test_every_row_of_the_threat_model_names_tests_that_exist() -> None:
    rows = threats()
    assert len(rows) > 20
    for row in rows:
        *_, outcome, tests, _ = (cell.strip() for cell in row.split("|"))
        assert outcome.startswith(("holds", "open")), row
        named = re.findall(r"`(tests/\w+/\w+\.py)::(test_\w+)`", tests)
        assert named, row
        for path, name in named:
            assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {name}"
