"""Every part of the project has its companion files, found by name; a missing one is reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from collectors.core.measurements import ENVIRONMENT, SHARED
from collectors.core.registry import catalogue
from collectors.core.schema import COLLECTOR, PIPELINE_TAGS
from collectors.telemetry.processor import declarations
from sensetig.cli.reference import PAGES, command
from sensetig.declarations import collector_module, declared
from sensetig.reference.declarations import heading
from tests.golden import CASES, ROOT, find_cases

DOCS = ROOT / "docs" / "reference"
REFERENCE = DOCS / "metrics.md"

#: The kinds that line protocol has.
KINDS = {float, int, bool, str}


def snippets_of(name: str) -> list[Path]:
    """The snippets that run a collector: its own, that of a hub or an alternative to another's."""
    own = ROOT / "telegraf" / "telegraf.d" / f"{name}.conf"
    if own.is_file():
        return [own]
    alternatives = sorted(
        path for folder in ("alternatives", "hub") for path in (ROOT / "telegraf" / folder).glob("*.conf")
    )
    return [path for path in alternatives if f'"-m", "collectors", "{name}"' in active(path)]


def active(snippet: Path) -> str:
    """What of a snippet is no comment."""
    lines = snippet.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


@pytest.mark.parametrize("name", catalogue())
def test_a_collector_has_all_its_parts(name: str) -> None:
    parts = {
        f"its snippet telegraf/telegraf.d/{name}.conf, or one in telegraf/alternatives or telegraf/hub": bool(
            snippets_of(name)
        ),
        f"its row grafana/dashboards/rows/{name}.py": (
            ROOT / "grafana" / "dashboards" / "rows" / f"{name}.py"
        ).is_file(),
        f"a golden case tests/cases/{name}/<case>/case.toml": any(case.collector == name for case in find_cases()),
        f"its section in docs/reference/metrics.md ({heading(name)})": (
            heading(name) in REFERENCE.read_text().splitlines()
        ),
        "a line of help, the first of its docstring": bool(catalogue()[name].strip(" .")),
        "MEASUREMENTS": bool(collector_module(name).MEASUREMENTS),
        "SETTINGS": isinstance(collector_module(name).SETTINGS, tuple),
    }
    missing = [part for part, there in parts.items() if not there]
    assert missing == [], f"collector {name} lacks {'; '.join(missing)}"


@pytest.mark.parametrize("name", catalogue())
def test_a_collector_s_snippet_runs_it_and_no_other(name: str) -> None:
    for snippet in snippets_of(name):
        content = active(snippet)
        assert f'"-m", "collectors", "{name}"' in content
        others = [other for other in catalogue() if other != name and f'"collectors", "{other}"' in content]
        assert others == []


def test_an_alternative_names_the_snippet_that_it_replaces() -> None:
    loaded = {path.name for path in (ROOT / "telegraf" / "telegraf.d").glob("*.conf")}
    for path in (ROOT / "telegraf" / "alternatives").glob("*.conf"):
        told = re.search(r"copy it over telegraf\.d/(\S+\.conf)", path.read_text(encoding="utf-8"))
        assert told is not None, path.name
        assert told[1] in loaded


def test_every_case_and_row_belongs_to_something() -> None:
    collectors = set(catalogue())
    folders = (ROOT / "telegraf" / folder for folder in ("telegraf.d", "hub"))
    snippets = {path.stem for folder in folders for path in folder.glob("*.conf")}
    strays = [
        *(path.name for path in CASES.iterdir() if path.is_dir() and path.name not in collectors),
        *(
            path.name
            for path in (ROOT / "grafana" / "dashboards" / "rows").glob("*.py")
            if path.stem not in collectors | snippets | {"__init__", COLLECTOR.name}
        ),
    ]
    assert strays == []


def test_collectors_that_emit_the_same_measurement_take_it_from_the_shared_ones() -> None:
    emitted = [(name, each) for name in catalogue() for each in collector_module(name).MEASUREMENTS]
    names = [each.name for _, each in emitted]
    assert COLLECTOR.name not in names
    for collector, each in emitted:
        if each.name in SHARED:
            assert each == SHARED[each.name].only(*(field.name for field in each.fields)), collector
        else:
            assert names.count(each.name) == 1, f"{each.name} belongs into collectors/core/measurements.py"


def test_a_shared_measurement_is_read_whole_whichever_fields_a_collector_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    second = collector_module("clock")
    part = ENVIRONMENT.only("temperature_raw_celsius", "humidity_raw_percent")
    assert [field.name for field in part.fields] == ["temperature_raw_celsius", "humidity_raw_percent"]
    monkeypatch.setattr(second, "MEASUREMENTS", (part,))
    collectors, measurement = declared()["environment"]
    assert {"clock", "sensehat"} <= set(collectors)
    assert measurement == ENVIRONMENT
    assert declarations(["environment"]) == [ENVIRONMENT]


def test_a_field_that_a_shared_measurement_lacks_is_named() -> None:
    with pytest.raises(KeyError, match=r"'environment' declares no field 'temperature'"):
        ENVIRONMENT.only("temperature")


@pytest.mark.parametrize("name", declared())
def test_a_declaration_says_all_that_its_readers_need(name: str) -> None:
    measurement = declared()[name].measurement
    names = [field.name for field in measurement.fields] + [tag.name for tag in measurement.tags]
    assert measurement.fields
    assert measurement.help.endswith("."), measurement.help
    assert sorted(names) == sorted(set(names))
    assert not {tag.name for tag in measurement.tags} & {tag.name for tag in PIPELINE_TAGS}
    for field in measurement.fields:
        assert field.kind in KINDS, field.name
        assert field.help.endswith("."), f"{field.name}: {field.help}"
        assert field.low is None or field.high is None or field.low <= field.high, field.name
    for tag in measurement.tags:
        assert tag.help.endswith("."), f"{tag.name}: {tag.help}"


@pytest.mark.parametrize("name", catalogue())
def test_a_collector_s_settings_are_described_once_and_in_sentences(name: str) -> None:
    settings = collector_module(name).SETTINGS
    names = [setting.name for setting in settings]
    assert sorted(names) == sorted(set(names))
    assert not {"execd", "settings", "help", "spool"} & set(names), "the runner has these options itself"
    for setting in settings:
        assert setting.help.endswith("."), f"{setting.name}: {setting.help}"
        if setting.default is not None:
            assert setting.check(setting.default) == setting.default, setting.name


# --- the reference pages ----------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_committed_reference_page_matches_the_declarations(page: str) -> None:
    committed = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    assert committed == PAGES[page](DOCS), "run: sensetig reference"


def _missing(page: str, expected: list[str]) -> list[str]:
    lines = PAGES[page](DOCS).splitlines()
    return [name for name in expected if not any(line.startswith(f"| `{name}` |") for line in lines)]


def test_metrics_page_names_every_tag_and_field() -> None:
    expected = [
        *(field.name for each in declared().values() for field in each.measurement.fields),
        *(tag.name for each in declared().values() for tag in each.measurement.tags),
    ]
    assert _missing("metrics", expected) == []


def test_settings_page_names_every_setting() -> None:
    assert _missing("settings", [each.name for name in catalogue() for each in collector_module(name).SETTINGS]) == []


def test_settings_page_shows_every_place_of_a_setting() -> None:
    page = PAGES["settings"](DOCS)
    assert (
        "| `backend` | `--backend` | `SENSETIG_SENSEHAT_BACKEND` | text "
        "| `auto`, `hat`, `emulator`, `recording`, `simulated` | `auto` | "
    ) in page


def test_command_page_has_every_command_and_its_options() -> None:
    page = PAGES["cli"](DOCS)
    assert "## sensetig reference\n" in page
    assert "### sensetig token rotate\n" in page
    assert (
        "| `--page [metrics\\|settings\\|cli\\|environment\\|http-api\\|mqtt-topics]` | Write only this page." in page
    )


def test_check_prints_how_a_stale_page_differs_and_changes_nothing(tmp_path: Path) -> None:
    stale = tmp_path / "metrics.md"
    stale.write_text("# Metrics reference\n", encoding="utf-8")
    done = CliRunner().invoke(command, ["--file", str(stale), "--check"])
    assert stale.read_text(encoding="utf-8") == "# Metrics reference\n"
    assert done.exit_code == 1
    assert "+## pi" in done.output
    assert "run: sensetig reference" in done.output


@pytest.mark.parametrize("page", PAGES)
def test_page_is_written_and_then_agrees(page: str, tmp_path: Path) -> None:
    arguments = ["--page", page, "--file", str(tmp_path / "page.md")]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert CliRunner().invoke(command, [*arguments, "--check"]).exit_code == 0


def test_all_pages_of_a_checkout_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    for name in ("telegraf", "mosquitto"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setattr("sensetig.bundle.root", lambda: tmp_path)
    assert CliRunner().invoke(command, []).exit_code == 0
    assert {path.stem for path in (tmp_path / "docs" / "reference").iterdir()} == set(PAGES)


def test_a_reference_that_cannot_be_written_is_named() -> None:
    done = CliRunner().invoke(command, ["--file", "/no-such-folder/metrics.md"])
    assert done.exit_code == 1
    assert "Error: /no-such-folder/metrics.md cannot be read or written: No such file or directory" in done.output
