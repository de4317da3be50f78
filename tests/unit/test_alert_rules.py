"""Provisioned alert rules: read, and evaluated as Grafana does it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sensetig.alerts import arithmetic
from sensetig.alerts.evaluate import Fired, filled, firing, outcomes
from sensetig.alerts.rules import Compare, Query, Reduce, Rule, RuleError, parse, read, seconds
from sensetig.alerts.values import Value, compared, reduced
from sensetig.influxdb.client import Series
from sensetig.report import alerts

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
    """Answers each query of each request with the next answer, the last of them for ever."""
    left = list(answers)

    def ask(queries: Sequence[str], bucket: str) -> list[list[Series]]:
        assert bucket in ("raw", "hourly")
        return [left.pop(0) if len(left) > 1 else left[0] for _ in queries]

    return ask


def series(value: float | None, **tags: str) -> Series:
    return Series(tags, ["time", "mean"], [[0, value]])


def test_a_rule_is_read_as_it_stands_in_the_file(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == []
    (tmp_path / "policies.yaml").write_text("apiVersion: 1\npolicies: []\n", encoding="utf-8")
    assert read(tmp_path) == []
    (tmp_path / "rules.yaml").write_text("groups: [", encoding="utf-8")
    with pytest.raises(RuleError, match=r"rules\.yaml cannot be read"):
        read(tmp_path)
    assert HOT_RULE.for_seconds == 120
    assert HOT_RULE.every_seconds == 60
    assert HOT_RULE.window_seconds == 300
    assert isinstance(HOT_RULE.steps[0], Query)
    assert HOT_RULE.steps[0].bucket == "raw"


def test_a_part_of_a_query_that_looks_back_less_far_counts_as_the_window() -> None:
    text = 'SELECT count("a") FROM "b" WHERE time > now() - 90s AND $timeFilter GROUP BY "host"'
    assert rule(query("A", text), condition="A").window_seconds == 90


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("1h30m", 5400), ("7d", 604_800), (5, 5), ("0s", 0)])
def test_a_duration_is_read_as_grafana_spells_it(text: object, expected: float) -> None:
    assert seconds(text) == expected


def test_the_variables_are_filled_in_for_the_time_of_the_evaluation() -> None:
    step = Query("A", "a $timeFilter $__interval now() $interval", "raw", 300, 60, 10_000)
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
    got = filled(Query("A", text, "raw", 300, 0, 1000), 400_000, "o'pi\\")
    narrow = "\"host\" = 'o\\'pi\\\\'"
    assert got.count(narrow) == 2
    assert got.count(f'time <= 400000ms AND ({narrow}) GROUP BY "host", "path"') == 2
    everyone = Query("A", 'SELECT sum("x") FROM "m" WHERE $timeFilter', "raw", 300, 0, 1000)
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


def test_several_queries_and_arithmetic_join_on_their_labels() -> None:
    several = rule(
        query("A", HOT),
        query("B", HOT),
        expression("A1", type="reduce", expression="A", reducer="sum"),
        expression("B1", type="reduce", expression="$B", reducer="max"),
        expression("M", type="math", expression="$A1 / ${B1} * 100 >= 50 && !($B1 == 0)"),
        condition="M",
    )
    one = [series(5, host="a", path="/"), series(1, host="b", path="/"), series(1, host="c", path="/")]
    other = [series(10, host="a"), series(10, host="b"), series(0, host="c")]
    (found,) = outcomes(answering(one, other), several, [0])
    assert {dict(labels)["host"]: state for labels, state in found.items()} == {"a": True, "b": False, "c": False}


def test_hysteresis_keeps_what_is_over_until_it_is_well_under() -> None:
    until = {"unloadEvaluator": {"type": "lt", "params": [70]}}
    sticky = rule(query("A", HOT), REDUCE, threshold("C", "B", "gt", 80, **until))
    answers = [[series(value, host="pi")] for value in (75, 81, 75, 69, 75)]
    found = outcomes(answering(*answers), sticky, [0, 1, 2, 3, 4])
    assert [next(iter(each.values())) for each in found] == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 ** 2", 19),
        ("-7 % 4", -3),
        ("1 / 0", math.inf),
        ("2 > 1 || 0", 1),
        ("!0 && !1", 0),
        ("is_null(null()) + is_nan(nan())", 2),
        ("is_number(infn())", 0),
        ("round(2.5) + floor(-0.5) + ceil(0.2) + abs(-1)", 4),
    ],
)
def test_arithmetic_counts_as_grafana_s(text: str, expected: float) -> None:
    (value,) = arithmetic.compute(text, {})
    assert value.number == expected


@pytest.mark.parametrize("text", ["$A +", "__import__('os')", "$X", "1 < 2 < 3", "(1).real", "[1]", "'a'"])
def test_arithmetic_that_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="its arithmetic"):
        arithmetic.compute(text, {"A": [Value((), 1.0)]})


@pytest.mark.parametrize(
    ("function", "mode", "numbers", "expected"),
    [
        ("last", "", [1.0, None], None),
        ("last", "dropNN", [1.0, None], 1.0),
        ("mean", "dropNN", [1.0, None, math.nan], 1.0),
        ("mean", "replaceNN", [1.0, None], 4.0),
        ("median", "", [1.0, 9.0, 2.0], 2.0),
        ("count", "dropNN", [None], 0.0),
        ("max", "dropNN", [None], None),
    ],
)
def test_a_series_is_reduced_in_each_mode(
    function: str, mode: str, numbers: list[float | None], expected: float | None
) -> None:
    value = Value((), None, tuple(enumerate(numbers)))
    assert reduced(Reduce("B", "A", function, mode, 7.0), value).number == expected


def test_one_value_that_is_none_makes_a_strict_mean_none() -> None:
    got = reduced(Reduce("B", "A", "mean", "", 0), Value((), None, ((0, 1.0), (1, None)))).number
    assert got is not None
    assert math.isnan(got)


@pytest.mark.parametrize(
    ("kind", "bounds", "inside", "outside"),
    [
        ("gt", (5.0,), 6.0, 5.0),
        ("gte", (5.0,), 5.0, 4.0),
        ("lt", (5.0,), 4.0, 5.0),
        ("lte", (5.0,), 5.0, 6.0),
        ("eq", (5.0,), 5.0, 6.0),
        ("ne", (5.0,), 6.0, 5.0),
        ("within_range", (0.0, 5.0), 3.0, 5.0),
        ("outside_range", (0.0, 5.0), 6.0, 5.0),
        ("within_range_included", (0.0, 5.0), 5.0, 6.0),
        ("outside_range_included", (0.0, 5.0), 5.0, 3.0),
    ],
)
def test_each_comparison_knows_its_bounds(kind: str, bounds: tuple[float, ...], inside: float, outside: float) -> None:
    assert compared(Compare(kind, bounds), inside) == 1
    assert compared(Compare(kind, bounds), outside) == 0
    assert compared(Compare(kind, bounds), None) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ([expression("C", type="classic_conditions")], "a step of the kind 'classic_conditions'"),
        ([{"refId": "C", "datasourceUid": "other", "model": {"query": ""}}], "the datasource 'other'"),
        ([query("A", HOT), threshold("C", "B", "gt", 1)], "no step 'B'"),
        ([query("A", HOT), threshold("C", "A", "gt", 1)], "is a series, and no number"),
        ([query("A", HOT), REDUCE, threshold("C", "B", "near", 1)], "compares by 'near'"),
        ([expression("B", type="math", expression="$C"), threshold("C", "B", "gt", 1)], "in a circle"),
    ],
)
def test_what_cannot_be_evaluated_says_why(data: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        outcomes(answering([series(1, host="pi")]), rule(*data), [0])


PI = (("host", "pi"),)


def fired(rule: Rule, *states: bool | None) -> list[tuple[int, int]]:
    times = [index * 60_000 for index in range(len(states))]
    found = firing(rule, times, [{PI: state} for state in states])
    assert all(each.labels == PI for each in found)
    return [(each.fired_ms // 60_000, each.end_ms // 60_000) for each in found]


def test_a_condition_fires_once_it_has_held_as_long_as_the_rule_says() -> None:
    assert fired(HOT_RULE, True, True, False, True, True, True, True, False) == [(5, 6)]
    assert fired(HOT_RULE, True, True, True, True) == [(2, 3)]
    assert fired(HOT_RULE, True, True, None, True, True) == []
    assert fired(HOT_RULE._replace(no_data="KeepLast"), True, True, None, True, False) == [(2, 3)]
    assert fired(HOT_RULE._replace(no_data="Alerting"), False, None, None, None) == [(3, 3)]
    assert fired(HOT_RULE._replace(for_seconds=0, keep_seconds=120), True, False, True, False, False) == [(0, 2)]


def test_a_series_that_is_gone_has_ended_and_no_answer_at_all_may_be_an_alert() -> None:
    now = HOT_RULE._replace(for_seconds=0)
    assert firing(now, [0, 1], [{PI: True}, {}]) == [Fired(PI, 0, 0, 0)]
    assert firing(now._replace(no_data="Alerting"), [0, 1], [{PI: False}, {}]) == [Fired((), 1, 1, 1)]


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
