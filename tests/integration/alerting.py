"""Alert rules evaluated as Grafana does it, on InfluxDB: the provisioned query, reducer and threshold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3
import yaml

from grafana.alerting import FOLDER
from tests.integration.conftest import InfluxDB

_OVER = {
    "gt": lambda value, bounds: value > bounds[0],
    "lt": lambda value, bounds: value < bounds[0],
    "outside_range": lambda value, bounds: value < bounds[0] or value > bounds[1],
}


class Outcome(NamedTuple):
    """What a rule makes of one series."""

    labels: dict[str, str]
    value: float
    fires: bool


def committed() -> dict[str, dict[str, Any]]:
    """The committed rules by their uid."""
    document = yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))
    return {rule["uid"]: rule for group in document["groups"] for rule in group["rules"]}


def query_at(rule: dict[str, Any], seconds: float) -> str:
    """The query of a rule with the time range that Grafana fills in, for a clock that shows that time."""
    (step,) = (each for each in rule["data"] if each["datasourceUid"] != "__expr__")
    begin = int((seconds - step["relativeTimeRange"]["from"]) * 1000)
    query: str = step["model"]["query"]
    query = query.replace("$timeFilter", f"time >= {begin}ms and time <= {int(seconds * 1000)}ms")
    assert "$" not in query, f"nothing fills in the variable in: {query}"
    return query.replace("now()", f"'{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}'")


def judged(rule: dict[str, Any], series: Sequence[dict[str, Any]]) -> list[Outcome]:
    """The series reduced and compared as the rule's expressions say, which drop one that has no number."""
    reduce, threshold = (step["model"] for step in rule["data"] if step["datasourceUid"] == "__expr__")
    assert (reduce["type"], reduce["reducer"], reduce["settings"]) == ("reduce", "last", {"mode": "dropNN"})
    assert (threshold["type"], threshold["expression"], rule["condition"]) == ("threshold", "B", "C")
    (condition,) = threshold["conditions"]
    evaluator = condition["evaluator"]
    outcomes = []
    for each in series:
        numbers = [row[1] for row in each["values"] if row[1] is not None]
        if numbers:
            fires = _OVER[evaluator["type"]](numbers[-1], evaluator["params"])
            outcomes.append(Outcome(each.get("tags", {}), float(numbers[-1]), fires))
    return outcomes


def evaluated(rule: dict[str, Any], influxdb: InfluxDB, seconds: float) -> list[Outcome]:
    """What the rule says at that time."""
    return judged(rule, ask(influxdb, query_at(rule, seconds)))


def ask(influxdb: InfluxDB, query: str) -> list[dict[str, Any]]:
    """The series that InfluxQL answers with. Raises AssertionError for a refused query."""
    answer = urllib3.request(
        "POST",
        f"{influxdb.url}/query",
        body=urlencode({"db": influxdb.raw, "q": query, "epoch": "ms"}),
        headers={
            "Authorization": f"Token {influxdb.read_token}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
        retries=False,
        timeout=60,
    )
    body = json.loads(answer.data)
    assert answer.status == 200, f"{body}: {query}"
    assert "error" not in body["results"][0], f"{body}: {query}"
    series: list[dict[str, Any]] = body["results"][0].get("series", [])
    return series


def write(influxdb: InfluxDB, lines: Sequence[str]) -> None:
    """Write lines whose times are in seconds. Raises AssertionError when InfluxDB does not take them."""
    query = urlencode({"org": influxdb.org, "bucket": influxdb.raw, "precision": "s"})
    for begin in range(0, len(lines), 5000):
        answer = urllib3.request(
            "POST",
            f"{influxdb.url}/api/v2/write?{query}",
            body="\n".join(lines[begin : begin + 5000]),
            headers={"Authorization": f"Token {influxdb.write_token}"},
            retries=False,
            timeout=60,
        )
        assert answer.status == 204, answer.data
