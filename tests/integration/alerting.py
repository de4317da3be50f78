"""The committed alert rules, evaluated by the one evaluator that there is, on the real InfluxDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import urllib3

from grafana.alerting import FOLDER
from sensetig.alerts import rules
from sensetig.alerts.evaluate import outcomes
from sensetig.alerts.rules import Compare, Rule
from sensetig.influxdb.client import Client
from tests.integration.conftest import InfluxDB


class Outcome(NamedTuple):
    """The outcome of a rule for one series."""

    labels: dict[str, str]
    fires: bool


def committed() -> dict[str, Rule]:
    """The committed rules by their uid."""
    return {rule.uid: rule for rule in rules.read(FOLDER)}


def evaluated(rule: Rule, influxdb: InfluxDB, seconds: float) -> list[Outcome]:
    """Evaluate the rule at that time; one outcome for each series with a value."""
    (found,) = outcomes(reader(influxdb).query_all, rule, [int(seconds * 1000)])
    return [Outcome(dict(labels), fires) for labels, fires in found.items() if fires is not None]


def about(rule: Rule, value: float) -> Rule:
    """The rule with a different threshold, which only a value close to this one exceeds."""
    close = max(abs(value) * 0.01, 0.001)
    bounds = Compare("within_range_included", (value - close, value + close))
    return rule._replace(threshold=bounds)


def reader(influxdb: InfluxDB) -> Client:
    """Asks InfluxDB with the token that Grafana has."""
    return Client(influxdb.url, influxdb.read_token)


def write(influxdb: InfluxDB, lines: Sequence[str], bucket: str = "raw") -> None:
    """Write lines whose times are in seconds. Raises AssertionError when InfluxDB does not take them."""
    query = urlencode({"org": influxdb.org, "bucket": bucket, "precision": "s"})
    token = influxdb.write_token if bucket == influxdb.raw else influxdb.operator_token
    for begin in range(0, len(lines), 5000):
        answer = urllib3.request(
            "POST",
            f"{influxdb.url}/api/v2/write?{query}",
            body="\n".join(lines[begin : begin + 5000]),
            headers={"Authorization": f"Token {token}"},
            retries=False,
            timeout=60,
        )
        assert answer.status == 204, answer.data
