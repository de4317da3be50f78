"""The alert rules as they are built, for Grafana and for their readers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from grafana.alerting import FOLDER, fresh, panel_of
from grafana.alerting.__main__ import main
from grafana.alerting.document import DOCUMENT, page
from grafana.alerting.model import CRITICAL, INFO, MAX_UID_LENGTH, RUNBOOK_PAGES, RUNBOOKS, WARNING, Rule, runbook_page
from grafana.alerting.notify import ALWAYS, CHANNELS, QUIET_NEVER, contact_points, mute_times, policy
from grafana.alerting.rules import RULES
from grafana.dashboards.boards.runbooks import in_grafana
from grafana.dashboards.rows import services, telegraf
from sensetig.alerts import rules
from sensetig.declarations import declared
from tests import dashboards

RUNBOOKS_TEXT = "".join((DOCUMENT.parents[2] / page).read_text(encoding="utf-8") for page in RUNBOOK_PAGES)

#: Fields that `sensetig retire` writes in addition to the declared ones of a measurement.
_RETIRED = {"retired"}


def provisioned() -> dict[str, dict[str, Any]]:
    """The built rules by their uid."""
    document = yaml.safe_load(fresh()["rules.yaml"])
    return {rule["uid"]: rule for group in document["groups"] for rule in group["rules"]}


BUILT = provisioned()


def names() -> dict[str, set[str]]:
    """The fields and tags of each measurement that a rule may read."""
    known = {name: each.measurement for name, each in declared().items()}
    known |= {each.name: each for each in (*services.MEASUREMENTS, *telegraf.MEASUREMENTS)}
    return {
        name: {field.name for field in each.fields} | {tag.name for tag in each.tags} | {"host", "site"}
        for name, each in known.items()
    }


@pytest.mark.parametrize("name", fresh())
def test_the_committed_files_match_the_declaration(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == fresh()[name], "run: make dashboards"


def test_the_documented_rules_are_those_that_grafana_gets() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == page(RULES), "run: make dashboards"


def test_check_names_stale_files_and_a_build_repairs_them_and_keeps_other_files(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("old")
    (tmp_path / "own.yaml").write_text("apiVersion: 1\n")
    document = tmp_path / "alerts.md"
    arguments = ["--folder", str(tmp_path), "--document", str(document)]

    checked = CliRunner().invoke(main, [*arguments, "--check"])
    assert checked.exit_code == 1
    assert "rules.yaml is not what grafana.alerting builds" in checked.output
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert CliRunner().invoke(main, [*arguments, "--check"]).exit_code == 0
    assert (tmp_path / "own.yaml").read_text() == "apiVersion: 1\n"


def test_uids_and_titles_are_each_rule_s_own_and_short_enough() -> None:
    assert len({rule.uid for rule in RULES}) == len({rule.title for rule in RULES}) == len(RULES)
    assert all(len(rule.uid) <= MAX_UID_LENGTH and re.fullmatch(r"[a-z-]+", rule.uid) for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
def test_a_rule_reads_only_declared_fields(rule: Rule) -> None:
    measurements, read = dashboards.names(rule.query)
    (measurement,) = measurements
    assert read - {"value"} - _RETIRED <= names()[measurement]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
def test_a_rule_says_whom_it_is_about_how_grave_it_is_and_what_to_do(rule: Rule) -> None:
    built = BUILT[rule.uid]
    assert built["labels"]["severity"] == rule.severity
    assert rule.severity in (CRITICAL, WARNING, INFO)
    assert rule.device == "device" or rule.device in built["labels"]["device"]
    assert {f'"{rule.device}"', '"site"'} <= set(rule.query.rpartition("GROUP BY ")[2].split(", "))
    told = built["annotations"]
    assert f'index .Labels "{rule.device}"' in told["summary"] + told["description"] or "camera" in told["summary"]
    assert len(told["description"].split()) >= 8, "what it means, and what to do first"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
def test_the_links_to_a_runbook_lead_to_its_panel(rule: Rule) -> None:
    told = BUILT[rule.uid]["annotations"]
    board, panel = panel_of(RUNBOOKS, rule.title)
    assert told["runbook_url"] == f"/d/{board}?viewPanel={panel}"
    link = f"{{{{ externalURL }}}}{told['runbook_url'].lstrip('/')}"
    assert told["description"].endswith(f"\nRunbook: {link}\nDocumentation: {runbook_page(rule.key)}")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
def test_a_rule_links_to_the_panel_of_its_device_and_marks_no_panel(rule: Rule) -> None:
    built = BUILT[rule.uid]
    assert not {"dashboardUid", "panelId"} & set(built)
    assert not {"__dashboardUid__", "__panelId__"} & set(built["annotations"])
    board, panel = panel_of(rule.board, rule.panel)
    link = f'd/{board}?var-host={{{{ urlquery (index .Labels "{rule.device}") }}}}&viewPanel={panel}'
    assert built["annotations"]["dashboard_url"] == f"/{link}"
    assert f"\nDashboard: {{{{ externalURL }}}}{link}\n" in built["annotations"]["description"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
def test_no_text_of_a_rule_has_a_variable_that_grafana_would_fill_in(rule: Rule) -> None:
    built = BUILT[rule.uid]
    assert "$" not in str([built["annotations"], built["labels"], built["title"]])
    assert set(re.findall(r"\$\w*", rule.query)) == {"$timeFilter"}


def test_an_empty_database_is_no_alert_and_one_that_does_not_answer_is_one_alert() -> None:
    states = {rule.key: (BUILT[rule.uid]["noDataState"], BUILT[rule.uid]["execErrState"]) for rule in RULES}
    assert states.pop("device-silent") == ("OK", "Error")
    assert set(states.values()) == {("OK", "KeepLast")}


def test_every_rule_has_a_section_in_the_runbooks_and_every_section_a_rule() -> None:
    text = RUNBOOKS_TEXT
    sections = dict(re.findall(r"^## (\S+)\n\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    assert list(sections) == [rule.key for rule in RULES]
    for rule in RULES:
        assert sections[rule.key].startswith(f"**{rule.title}.** "), rule.key
        assert "\nFirst" in sections[rule.key], rule.key


def test_the_dashboard_has_the_runbook_of_every_rule_in_the_order_of_the_document() -> None:
    shown = list(dashboards.panels(dashboards.committed()["runbooks.json"]))
    text = RUNBOOKS_TEXT
    assert [panel["title"] for panel in shown] == re.findall(r"^\*\*(.+?)\.\*\* ", text, re.M)
    assert {panel["type"] for panel in shown} == {"text"}
    said = " ".join(panel["options"]["content"] for panel in shown)
    written = "".join(re.findall(r"^## \S+\n\n\*\*.+?\.\*\* (.*?)(?=^## |\Z)", text, re.M | re.S))
    assert len(said.split()) >= len(written.split()), "no word is lost"
    assert "](" not in said, "a link between documents leads nowhere in Grafana"


def test_a_runbook_in_grafana_has_a_paragraph_on_a_line_and_keeps_its_lists() -> None:
    section = "One\nparagraph: [a page](page.md#part), [Two](#two).\n\n1. `a\n   b` of it\n2. two\n\n- x\n- y\n"
    shown = "One paragraph: a page (docs/how-to/page.md), *Two*.\n\n1. `a b` of it\n2. two\n\n- x\n- y"
    assert in_grafana(section) == shown


def test_a_report_can_evaluate_every_rule() -> None:
    read = {rule.uid: rule.unread for rule in rules.read(FOLDER)}
    assert read == {rule.uid: "" for rule in RULES}


# --- notification channels --------------------------------------------------------------------------------


def expanded(value: Any, variables: dict[str, str]) -> Any:
    """A setting as Grafana expands it: an unset variable is empty."""
    if isinstance(value, dict):
        return {key: expanded(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [expanded(each, variables) for each in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], ""), value)
    return value


def test_no_address_of_a_contact_point_is_empty_when_nothing_is_set() -> None:
    for point in expanded(contact_points(), {}):
        (receiver,) = point["receivers"]
        needed = {"email": ["addresses"], "webhook": ["url"], "telegram": ["bottoken", "chatid"]}[receiver["type"]]
        assert all(receiver["settings"][key] for key in needed), point["name"]


def matches(matcher: list[str], labels: dict[str, str]) -> bool:
    """Whether labels meet a condition, as Alertmanager has it: a label that is not there is empty."""
    name, operator, value = matcher
    label = labels.get(name, "")
    whole = re.fullmatch(value, label) is not None if "~" in operator else value == label
    return whole != operator.startswith("!")


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.key)
def test_alerts_go_to_a_channel_when_it_is_set_and_only_then(channel: Any) -> None:
    value = {"EMAIL": "a+b@example.org", "TELEGRAM": "-1001234"}.get(channel.key, "https://example.org/a?b=(c)")
    alert = {"alertname": "X", "severity": WARNING}

    def taken(variables: dict[str, str], labels: dict[str, str]) -> set[str]:
        return {
            route["receiver"]
            for route in expanded(policy(), variables)["routes"]
            if ALWAYS not in route.get("mute_time_intervals", ())
            and all(matches(matcher, labels) for matcher in route["object_matchers"])
        }

    without = f"SENSETIG_ALERTS_{channel.key}_WITHOUT"
    assert taken({}, alert) == set()
    assert taken({channel.switch: value}, alert) == {channel.name}
    assert taken({channel.switch: value, without: "info|warning"}, alert) == set()
    assert taken({channel.switch: value, without: "info|warning"}, {**alert, "severity": CRITICAL}) == {channel.name}


def test_unrouted_alerts_go_to_a_silent_policy() -> None:
    *_, last = policy()["routes"]
    assert matches(last["object_matchers"][0], {"alertname": "X"})
    assert last["mute_time_intervals"] == [ALWAYS]


def test_every_mute_timing_that_is_named_is_there_set_or_not() -> None:
    there = {each["name"] for each in mute_times()}
    for variables in ({}, {"SENSETIG_ALERTS_QUIET": "nights"}):
        named = set(re.findall(r"'(quiet:\w*|always)'", str(expanded(policy(), variables))))
        assert named <= there
        assert (QUIET_NEVER in named) == (not variables)


def test_committed_files_contain_no_secret() -> None:
    text = fresh()["contact-points.yaml"]
    for line in text.splitlines():
        if re.search(r"(token|credentials|addresses|url|chatid):", line):
            assert "${SENSETIG_ALERTS_" in line
