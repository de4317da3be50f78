"""Provisioned alert rules: read, and evaluated as Grafana does it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from grafana.alerting import FOLDER
from sensetig.alerts.evaluate import Fired, filled, firing, outcomes
from sensetig.alerts.rules import Compare, Query, Rule, RuleError, parse, read, seconds
from sensetig.influxdb.client import Series
from sensetig.report import alerts

PI = (("host", "pi"),)

HOT = 'SELECT mean("temp") FROM "temp" WHERE $timeFilter GROUP BY "host"'


def expression(ref: str, **model: Any) -> dict[str, Any]:
    return {"refId": ref, "datasourceUid": "__expr__", "model": model}


def query(ref: str, text: str, **more: Any) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasourceUid": "sensetig-influxql",
        "relativeTimeRange": {"from": 300, "to": 0},
        "model": {"query": text, **more},
    }


def threshold(ref: str, of: str, kind: str, *bounds: float, **more: Any) -> dict[str, Any]:
    evaluator = {"type": kind, "params": list(bounds)}
    return expression(ref, type="threshold", expression=of, conditions=[{"evaluator": evaluator, **more}])


REDUCE = expression("B", type="reduce", expression="A", reducer="last", settings={"mode": "dropNN"})


def rule(*data: dict[str, Any], condition: str = "C", **more: Any) -> Rule:
    group = {"interval": "1m", "rules": [{"uid": "r", "title": "R", "condition": condition, "data": data, **more}]}
    (found,) = parse({"groups": [group]})
    return found


HOT_RULE = rule(query("A", HOT), REDUCE, threshold("C", "B", "gt", 80), **{"for": "2m"})


def answering(*answers: list[Series]) -> Any:
    """Answers each query of each request with the next answer, the last of them forever."""
    left = list(answers)

    def ask(queries: Sequence[str], bucket: str) -> list[list[Series]]:
        assert bucket in ("raw", "hourly")
        return [left.pop(0) if len(left) > 1 else left[0] for _ in queries]

    return ask


def series(value: float | None, **tags: str) -> Series:
    return Series(tags, ["time", "mean"], [[0, value]])


def test_a_rule_is_read_unchanged_from_the_file(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == []
    (tmp_path / "policies.yaml").write_text("apiVersion: 1\npolicies: []\n", encoding="utf-8")
    assert read(tmp_path) == []
    (tmp_path / "rules.yaml").write_text("groups: [", encoding="utf-8")
    with pytest.raises(RuleError, match=r"rules\.yaml cannot be read"):
        read(tmp_path)
    assert HOT_RULE.for_seconds == 120
    assert HOT_RULE.every_seconds == 60
    assert HOT_RULE.window_seconds == 300
    assert HOT_RULE.query.bucket == "raw"
    assert HOT_RULE.threshold == Compare("gt", (80,))


def test_a_part_of_a_query_that_looks_back_less_far_counts_as_the_window() -> None:
    text = 'SELECT count("a") FROM "b" WHERE time > now() - 90s AND $timeFilter GROUP BY "host"'
    assert rule(query("A", text), REDUCE, threshold("C", "B", "gt", 1)).window_seconds == 90


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("1h30m", 5400), ("7d", 604_800), (5, 5), ("0s", 0)])
def test_a_duration_is_read_as_grafana_spells_it(text: object, expected: float) -> None:
    assert seconds(text) == expected


def test_the_variables_are_filled_in_for_the_time_of_the_evaluation() -> None:
    step = Query("a $timeFilter $__interval now() $interval", "raw", 300, 60, 10_000)
    assert filled(step, 1_000_000) == (
        "a time >= 700000ms AND time <= 940000ms 10000ms 1000000ms 10000ms"
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"nothing fills in \$host"):
        filled(step._replace(query="$timeFilter $host"), 0)


def test_only_where_points_are_read_is_a_query_narrowed_to_a_device() -> None:
    inner = 'SELECT {} AS "v" FROM "m" WHERE {}$timeFilter GROUP BY "host", "path"'
    first, second = inner.format('count("x")', '"x" = true AND '), inner.format('0 * count("x")', "")
    text = f'SELECT sum("v") FROM ({first}), (SELECT max("v") FROM ({second}) WHERE $timeFilter GROUP BY "host") '  # noqa: S608
    text += 'WHERE $timeFilter GROUP BY "host"'
    got = filled(Query(text, "raw", 300, 0, 1000), 400_000, "o'pi\\")
    narrow = "\"host\" = 'o\\'pi\\\\'"
    assert got.count(narrow) == 2
    assert got.count(f'time <= 400000ms AND ({narrow}) GROUP BY "host", "path"') == 2
    everyone = Query('SELECT sum("x") FROM "m" WHERE $timeFilter', "raw", 300, 0, 1000)
    assert "pi" not in filled(everyone, 400_000, "pi")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([series(81, host="pi")], {(("host", "pi"),): True}),
        ([series(80, host="pi")], {(("host", "pi"),): False}),
        ([series(None, host="pi")], {(("host", "pi"),): None}),
        ([series(90, host="a"), series(10, host="b")], {(("host", "a"),): True, (("host", "b"),): False}),
        ([], {}),
    ],
)
def test_each_series_has_an_outcome_and_no_data_is_not_well(answer: list[Series], expected: dict[Any, Any]) -> None:
    assert outcomes(answering(answer), HOT_RULE, [0]) == [expected]


@pytest.mark.parametrize(
    ("kind", "bounds", "inside", "outside"),
    [
        ("gt", (5.0,), 6.0, 5.0),
        ("lt", (5.0,), 4.0, 5.0),
        ("outside_range", (0.0, 5.0), 6.0, 5.0),
        ("within_range_included", (0.0, 5.0), 5.0, 6.0),
    ],
)
def test_each_comparison_knows_its_bounds(kind: str, bounds: tuple[float, ...], inside: float, outside: float) -> None:
    assert Compare(kind, bounds).holds(inside)
    assert not Compare(kind, bounds).holds(outside)


def test_the_last_number_counts_and_nulls_are_skipped() -> None:
    answer = [Series({"host": "pi"}, ["time", "mean"], [[0, 81], [1, 90], [2, None], [3, math.nan]])]
    assert outcomes(answering(answer), HOT_RULE, [0]) == [{PI: True}]


def test_every_rule_of_the_bundle_is_read() -> None:
    found = read(FOLDER)
    assert len(found) > 15
    assert {each.uid: each.unread for each in found if each.unread} == {}


_UNTIL = {"unloadEvaluator": {"type": "lt", "params": [70]}}
_MEAN = expression("B", type="reduce", expression="A", reducer="mean", settings={"mode": "dropNN"})


@pytest.mark.parametrize(
    ("data", "more", "why"),
    [
        ([expression("C", type="classic_conditions")], {}, "not a query, a reduce and a threshold"),
        ([query("A", HOT), query("B", HOT), threshold("C", "B", "gt", 1)], {}, "not a query, a reduce and a threshold"),
        ([query("A", HOT), REDUCE, expression("C", type="math", expression="$B > 1")], {}, "reduce', 'math"),
        ([query("A", HOT), REDUCE, threshold("C", "A", "gt", 1)], {}, "do not follow each other"),
        ([query("A", HOT), REDUCE, threshold("D", "B", "gt", 1)], {}, "do not follow each other"),
        ([query("A", HOT), _MEAN, threshold("C", "B", "gt", 1)], {}, "reduces by 'mean'"),
        ([query("A", HOT), REDUCE, threshold("C", "B", "near", 1)], {}, "compares by 'near'"),
        ([query("A", HOT), REDUCE, threshold("C", "B", "gt", 80, **_UNTIL)], {}, "a second one for its end"),
        ([query("A", HOT), REDUCE, threshold("C", "B", "gt", 80)], {"keep_firing_for": "5m"}, "keeps firing"),
        (
            [{**query("A", HOT), "datasourceUid": "other"}, REDUCE, threshold("C", "B", "gt", 1)],
            {},
            "datasource 'other'",
        ),
    ],
)
def test_a_rule_of_another_shape_says_why_it_is_not_evaluated(
    data: list[dict[str, Any]], more: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        outcomes(answering([series(1, host="pi")]), rule(*data, **more), [0])


def test_two_series_of_the_same_labels_cannot_be_told_apart() -> None:
    with pytest.raises(ValueError, match="two of its series have the same labels"):
        outcomes(answering([series(1, host="pi"), series(2, host="pi")]), HOT_RULE, [0])


def fired(rule: Rule, *states: bool | None) -> list[tuple[int, int]]:
    times = [index * 60_000 for index in range(len(states))]
    found = firing(rule, times, [{PI: state} for state in states])
    assert all(each.labels == PI for each in found)
    return [(each.fired_ms // 60_000, each.end_ms // 60_000) for each in found]


def test_a_condition_fires_once_it_has_held_as_long_as_the_rule_says() -> None:
    assert fired(HOT_RULE, True, True, False, True, True, True, True, False) == [(5, 6)]
    assert fired(HOT_RULE, True, True, True, True) == [(2, 3)]
    assert fired(HOT_RULE, True, True, None, True, True) == []


def test_a_series_that_is_gone_has_ended() -> None:
    now = HOT_RULE._replace(for_seconds=0)
    assert firing(now, [0, 1], [{PI: True}, {}]) == [Fired(PI, 0, 0, 0)]


@pytest.mark.parametrize(
    ("labels", "mine"),
    [
        ({"host": "pi", "path": "/"}, True),
        ({"host": "other"}, False),
        ({"host": "hub", "device": "pi"}, True),
        ({"host": "pi", "device": "mmcblk0"}, True),
        ({"output": "influxdb"}, True),
    ],
)
def test_a_series_is_a_device_s_by_a_label_that_says_so(labels: dict[str, str], mine: bool) -> None:
    assert alerts.of_device(labels, "pi") is mine
