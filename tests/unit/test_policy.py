"""One policy: dashboards, alert rules, `sensetig status`, reports and documents have the same thresholds."""

from __future__ import annotations

import ast
import doctest
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from collectors.device_state import settings as device_state
from grafana.alerting import FOLDER as ALERTING
from grafana.dashboards.lib import silence, thresholds
from sensetig import bundle, policy
from sensetig.fleet.devices import Device, Limits, judge
from sensetig.policy import ACT, GOOD, LOOK, Threshold
from sensetig.report.narrative import summary
from sensetig.report.period import Period
from sensetig.report.stats import QUANTITIES, Disk, Spread, Stats
from tests import dashboards

COMMITTED = dashboards.committed()
RULES = {
    rule["uid"].removeprefix("sensetig-"): rule
    for group in yaml.safe_load((ALERTING / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
DOCS = bundle.root() / "docs"

#: A chart draws only the bounds of unhealthy values.
COLOURS = {thresholds.ACT: ACT, thresholds.LOOK: LOOK, thresholds.GOOD: GOOD, "transparent": GOOD}

#: Where each threshold is drawn: dashboard, panel, and the column where it is a table's.
DRAWN = {
    ("device.json", "Now", "CPU"): policy.CPU_PERCENT,
    ("device.json", "Now", "Memory"): policy.MEMORY_PERCENT,
    ("device.json", "Now", "Disk"): policy.DISK_PERCENT,
    ("device.json", "File systems", "Full"): policy.DISK_PERCENT,
    ("device.json", "Now", "Hottest"): policy.PROCESSOR_CELSIUS,
    ("device.json", "Temperatures", ""): policy.PROCESSOR_CELSIUS,
    ("device.json", "Chip temperature", ""): policy.PROCESSOR_CELSIUS,
    ("device.json", "Facts", "Load per core"): policy.LOAD_PER_CORE,
    ("device.json", "Facts", "Swap"): policy.SWAP_PERCENT,
    ("device.json", "Facts", "Wi-Fi"): policy.WIFI_DBM,
    ("device.json", "Wi-Fi signal", ""): policy.WIFI_DBM,
    ("device.json", "Facts", "Card life used"): policy.CARD_LIFE_PERCENT,
    ("fleet.json", "Devices", "Hottest"): policy.PROCESSOR_CELSIUS,
    ("fleet.json", "Devices", "CPU"): policy.CPU_PERCENT,
    ("fleet.json", "Devices", "Disk"): policy.DISK_PERCENT,
    ("live.json", "CPU by mode", ""): policy.CPU_PERCENT,
    ("history.json", "Memory usage", ""): policy.MEMORY_PERCENT,
    ("history.json", "Disk usage", ""): policy.DISK_PERCENT,
    ("history.json", "Device temperature", ""): policy.PROCESSOR_CELSIUS,
    ("pipeline.json", "Memory", ""): policy.INFLUXDB_BYTES,
    ("pipeline.json", "Series", ""): policy.INFLUXDB_SERIES,
    ("pipeline.json", "Points lost", ""): policy.NEVER,
}

#: The bounds of the rules with a numeric condition, and their comparison.
BOUNDS = {
    "processor-hot": ("gt", [policy.PROCESSOR_CELSIUS.act]),
    "environment-out-of-limits": ("outside_range", [*policy.AIR_LIMITS_CELSIUS]),
    "disk-nearly-full": ("gt", [policy.DISK_PERCENT.act]),
    "sd-card-worn": ("gt", [policy.CARD_LIFE_PERCENT.look]),
    "sd-card-end-of-life": ("gt", [policy.CARD_PRE_EOL.act - 1]),
    "memory-full": ("gt", [policy.MEMORY_PERCENT.act]),
    "telemetry-rejected": ("gt", [policy.SELDOM.act]),
    "collector-errors": ("gt", [policy.SELDOM.act]),
    "buffer-growing": ("gt", [policy.BUFFER_PERCENT]),
    "name-clash": ("gt", [policy.NAME_CLASH_CHANGES]),
}

#: Passages of documents that state a threshold.
STATED = {
    "status.md": (
        f"from {policy.PROCESSOR_CELSIUS.act} °C, and from {policy.DISK_PERCENT.act} % of a disk",
        f"from {policy.PROCESSOR_CELSIUS.look} °C, from {policy.DISK_PERCENT.look} % of a disk and from "
        f"{policy.CPU_PERCENT.look} % CPU",
    ),
    "dashboards.md": (
        f"devices with a sensor at {policy.PROCESSOR_CELSIUS.look} °C or more",
        f"devices with a file system that is {policy.DISK_PERCENT.look} % full or more",
        f"silent for {policy.OFFLINE_SECONDS // 60} minutes and for ten of their intervals",
        f"wrote within {policy.FORGOTTEN_DAYS} days",
    ),
    "runbooks.md": (
        f"More than {policy.PROCESSOR_CELSIUS.act} °C for minutes",
        "below {} °C or above {} °C".format(*policy.AIR_LIMITS_CELSIUS),
        f"is more than {policy.DISK_PERCENT.act} % full",
        f"more than {policy.CARD_LIFE_PERCENT.look} % of its life is used",
        f"More than {policy.MEMORY_PERCENT.act} % of the memory",
    ),
    "device-state.md": (
        f"`state_late_intervals` ({policy.LATE_INTERVALS}) intervals",
        f"`state_offline_intervals` ({policy.OFFLINE_INTERVALS})",
    ),
}


def drawn(dashboard: str, title: str, column: str) -> list[tuple[float, str]]:
    """The steps that a panel draws, where they have a colour with a meaning."""
    found = []
    for panel in dashboards.panels(COMMITTED[dashboard]):
        if panel["title"] != title or panel["type"] == "text":
            continue
        config = panel["fieldConfig"]
        kinds = [config["defaults"].get("thresholds")]
        if column:
            kinds = [
                each["value"]
                for override in config["overrides"]
                if override["matcher"]["options"] == column
                for each in override["properties"]
                if each["id"] == "thresholds"
            ]
        for kind in filter(None, kinds):
            found.append([(step["value"], step["color"]) for step in kind["steps"] if step["value"] is not None])
    steps = max(found, key=len)
    return [(value, colour) for value, colour in steps if colour in COLOURS]


def level(steps: list[tuple[float, str]], value: float) -> str:
    """The level that the steps give for a value."""
    return next((COLOURS[colour] for start, colour in reversed(steps) if value >= start), GOOD)


def around(threshold: Threshold) -> Iterator[float]:
    """Values just below, at and just above each bound."""
    for bound in (threshold.look, threshold.act):
        if math.isfinite(bound):
            yield from (bound - 0.001, bound, bound + 0.001)


@pytest.mark.parametrize("place", DRAWN, ids="/".join)
def test_a_panel_draws_the_threshold_of_the_policy(place: tuple[str, str, str]) -> None:
    steps, threshold = drawn(*place), DRAWN[place]
    assert {value: level(steps, value) for value in around(threshold)} == {
        value: threshold.level(value) for value in around(threshold)
    }


def test_the_alert_rules_have_the_bounds_of_the_policy() -> None:
    found = {}
    for key in BOUNDS:
        (condition,) = RULES[key]["data"][-1]["model"]["conditions"]
        found[key] = (condition["evaluator"]["type"], condition["evaluator"]["params"])
    assert found == BOUNDS


@pytest.mark.parametrize(
    ("field", "threshold"),
    [
        ("temperature_celsius", policy.PROCESSOR_CELSIUS),
        ("disk_percent", policy.DISK_PERCENT),
        ("cpu_percent", policy.CPU_PERCENT),
    ],
)
def test_status_judges_by_the_policy(field: str, threshold: Threshold) -> None:
    device = Device("pi-a", 1.0)
    for value in around(threshold):
        assert judge(device._replace(**changed(field, value)), Limits()).level == threshold.level(value), value


def changed(field: str, value: float) -> dict[str, Any]:
    """One field of a device."""
    return {field: value}


def report_level(**facts: Any) -> str:
    """The level of the one sentence in a report about these facts."""
    begin = datetime(2026, 11, 14, tzinfo=UTC)
    week = Period(begin, begin + timedelta(days=7), "raw", 1800)
    empty = Stats("system", None, None, (), None, (), (), {}, {}, None, None, ())
    headings = {"Disks", "The device"}
    (sentence,) = [
        each
        for each in summary(empty._replace(**facts), week, "pi-a")
        if each.heading in headings and "No data" not in each.text
    ]
    return sentence.level


def test_a_report_judges_by_the_policy() -> None:
    for value in around(policy.DISK_PERCENT):
        assert report_level(disks=(Disk("/", 1.0, 1.0, value, 0.0),)) == policy.DISK_PERCENT.level(value)
    judged = {each.measurement: each for each in QUANTITIES if each.threshold}
    assert {name: each.threshold for name, each in judged.items()} == {
        "cpu": policy.CPU_PERCENT,
        "mem": policy.MEMORY_PERCENT,
        "temp": policy.PROCESSOR_CELSIUS,
    }
    for quantity in judged.values():
        assert quantity.threshold
        for value in around(quantity.threshold):
            mean, most = (value, 0.0) if quantity.by_mean else (0.0, value)
            spread = Spread(quantity, 0.0, 0, mean, most, 0, None)
            level = quantity.threshold.level(value)
            # A low mean, such as that of an idle processor, is no merit.
            assert report_level(spreads=(spread,)) == ("plain" if quantity.by_mean and level == "good" else level)


@pytest.mark.parametrize("name", STATED)
def test_a_document_states_the_thresholds_of_the_policy(name: str) -> None:
    (page,) = DOCS.rglob(name)
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert [passage for passage in STATED[name] if passage not in text] == []


def test_the_intervals_are_those_of_the_device_state() -> None:
    assert device_state.LATE.default == policy.LATE_INTERVALS
    assert device_state.OFFLINE.default == policy.OFFLINE_INTERVALS


def test_a_silence_is_judged_by_the_interval_and_at_the_least_by_the_shortest_silence() -> None:
    def state(silent: float, interval: float | None = None) -> str:
        return policy.liveness(1_000_000, 1_000_000 - silent, interval)

    assert [state(each) for each in (59.9, 60, 599.9, 600)] == ["online", "late", "late", "offline"]
    assert [state(each, 1) for each in (59.9, 60, 599.9, 600)] == ["online", "late", "late", "offline"]
    assert [state(each, 900) for each in (2700, 3599, 3600, 21_599, 21_600)] == [
        "online", "online", "late", "late", "offline",
    ]  # fmt: skip


def test_the_steps_of_a_silence_begin_where_a_device_is_late_and_contain_where_it_is_offline() -> None:
    assert policy.SILENCE_STEPS[0] == policy.LATE_SECONDS
    assert policy.OFFLINE_SECONDS in policy.SILENCE_STEPS
    assert list(policy.SILENCE_STEPS) == sorted(policy.SILENCE_STEPS)
    assert policy.SILENCE_STEPS[-1] < policy.FORGOTTEN_DAYS * 86400
    asked = silence.silent("", "known", "")
    assert [int(step) for step in re.findall(r"now\(\) - (\d+)s", asked)] == list(policy.SILENCE_STEPS)


def literals(path: Path) -> Iterator[str]:
    """Thresholds written in a module itself: numbers next to a colour or a level, and bounds of rules."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        numbers = [
            each.value
            for each in ast.walk(node)
            if isinstance(each, ast.Constant) and type(each.value) in (int, float) and each.value not in (0, 1, 100)
        ]
        if isinstance(node, ast.Tuple) and len(node.elts) == 2 and numbers:
            meant = isinstance(node.elts[1], ast.Attribute) and node.elts[1].attr in ("GOOD", "LOOK", "ACT")
        elif isinstance(node, ast.keyword):
            meant = node.arg == "bounds" and bool(numbers)
        elif isinstance(node, ast.IfExp) and numbers:
            words = {each.id for each in (node.body, node.orelse) if isinstance(each, ast.Name)}
            meant = bool(words & {"ACT", "LOOK"})
        else:
            continue
        if meant:
            yield f"{path.name}:{node.lineno}: {ast.unparse(node)}"


def test_no_threshold_is_defined_outside_the_policy() -> None:
    root = bundle.root()
    modules = [*(root / "grafana").rglob("*.py"), *(root / "sensetig/fleet").glob("*.py")]
    modules += (root / "sensetig/report").glob("*.py")
    assert len(modules) > 60
    assert [each for module in modules for each in literals(module)] == []


def test_the_search_for_thresholds_finds_them(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "steps = ((None, thresholds.GOOD), (85, thresholds.LOOK))\n"
        "rule = Rule(bounds=(90,))\n"
        "level = ACT if full >= 90 else GOOD\n"
    )
    assert sorted(each.split(":")[1] for each in literals(module)) == ["1", "2", "3"]


def test_the_examples_of_the_policy_hold() -> None:
    for module in (policy, thresholds, silence):
        assert doctest.testmod(module).failed == 0
