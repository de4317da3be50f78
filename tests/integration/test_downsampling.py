"""The downsampling task on a real InfluxDB, compared with what Python computes from the same points."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any, NamedTuple

import pytest
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from collectors.core.line_protocol import FieldValue, Metric, Series, encode
from tests.integration.conftest import InfluxDB

pytestmark = pytest.mark.engines

#: A run of the task that takes longer has hung.
RUN_SECONDS = 400.0

#: The hour that is running now; the task leaves it out, as it is not over.
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

Rows = dict[datetime, dict[str, FieldValue]]


class Store(NamedTuple):
    """The InfluxDB of the tests, by the operator's token."""

    client: Any
    influxdb: InfluxDB

    def write(self, series: Series, points: Mapping[datetime, Mapping[str, FieldValue]]) -> None:
        """Write points to the bucket raw."""
        lines = [
            encode(Metric(series, fields, int(when.timestamp()) * 1_000_000_000)) for when, fields in points.items()
        ]
        api = self.client.write_api(write_options=SYNCHRONOUS)
        api.write(self.influxdb.raw, self.influxdb.org, lines)

    def downsample(self, when: datetime = NOW) -> None:
        """Run the task as if it were that time, by default the full hour, to its end."""
        tasks = self.client.tasks_api()
        task = tasks.find_tasks(name="downsample_hourly")[0]
        run = tasks.run_manually(task.id, scheduled_for=when)
        end = time.monotonic() + RUN_SECONDS
        status = "started"
        while status in ("scheduled", "started"):
            assert time.monotonic() < end, f"the task is {status} for {RUN_SECONDS} s"
            time.sleep(0.05)
            try:
                status = tasks.get_run(task.id, run.id).status
            except ApiException as error:  # between its running and its being logged, a run is nowhere
                if error.status != 404:
                    raise
        assert status == "success", [log.message for log in tasks.get_run_logs(task.id, run.id)]

    def hourly(self, measurement: str, *, where: str = "") -> Rows:
        """The contents of a measurement in the bucket hourly, queried with InfluxQL as a dashboard does."""
        status, answer = _influxql(self.influxdb, f'SELECT * FROM "hourly"."{measurement}" {where}')  # noqa: S608
        assert status == 200, answer
        rows: Rows = {}
        for series in answer["results"][0].get("series", ()):
            for values in series["values"]:
                named = dict(zip(series["columns"], values, strict=True))
                when = datetime.fromisoformat(named.pop("time"))
                rows[when] = {key: value for key, value in named.items() if value is not None}
        return rows


def _influxql(influxdb: InfluxDB, query: str) -> tuple[int, Any]:
    answer = urllib3.request(
        "GET",
        f"{influxdb.url}/query",
        fields={"q": query, "db": "sensetig"},
        headers={"Authorization": f"Token {influxdb.read_token}"},
    )
    return answer.status, answer.json()


def _summary(field: str, mean: object, least: float, greatest: float, count: int) -> dict[str, object]:
    return {field: mean, f"{field}__min": least, f"{field}__max": greatest, f"{field}__count": count}


@pytest.fixture(scope="module")
def store(influxdb: InfluxDB) -> Iterator[Store]:
    with InfluxDBClient(influxdb.url, influxdb.operator_token, org=influxdb.org, timeout=60_000) as client:
        yield Store(client, influxdb)


def _every_minute(hours_ago: int) -> list[datetime]:
    start = NOW - timedelta(hours=hours_ago)
    return [start + timedelta(minutes=minute) for minute in range(60)]


def test_three_hours_are_summarised_as_python_does_it(store: Store) -> None:
    series = Series("downsampled", {"host": "pi", "device": "shelf"})
    points: dict[datetime, dict[str, FieldValue]] = {}
    for hours_ago in (3, 2, 1):
        for minute, when in enumerate(_every_minute(hours_ago)):
            points[when] = {
                "temperature_celsius": 20 + hours_ago + math.sin(minute),
                "used_bytes": 10**9 * hours_ago + minute**2,
                "throttled": minute % (4 * hours_ago) == 0,
                "note": f"minute {minute}",
            }
    store.write(series, points)
    store.downsample()

    rows = store.hourly("downsampled")

    assert sorted(rows) == [NOW - timedelta(hours=hours) for hours in (3, 2, 1)], "an hour is named by its beginning"
    for start, row in rows.items():
        inside = [fields for when, fields in points.items() if start <= when < start + timedelta(hours=1)]
        expected: dict[str, object] = {"host": "pi", "device": "shelf"}
        for name in ("temperature_celsius", "used_bytes", "throttled"):
            values = [float(fields[name]) for fields in inside]
            expected |= _summary(name, pytest.approx(fmean(values)), min(values), max(values), len(values))
        assert row == expected, "numbers and truth values, with their tags; no text"


def test_every_summary_is_a_float_so_that_no_field_changes_its_type(store: Store) -> None:
    store.write(Series("downsampled_types"), {_every_minute(1)[0]: {"whole": 1, "number": 1.5, "truth": True}})
    store.downsample()
    status, answer = _influxql(store.influxdb, 'SHOW FIELD KEYS FROM "hourly"."downsampled_types"')
    assert status == 200
    types = dict(answer["results"][0]["series"][0]["values"])
    assert len(types) == 3 * 4
    assert set(types.values()) == {"float"}


def test_a_point_that_comes_a_day_late_gets_into_its_hour(store: Store) -> None:
    hour = _every_minute(25)
    series = Series("downsampled_late", {"host": "pi"})
    store.write(series, {hour[0]: {"value": 1.0}, hour[1]: {"value": 2.0}})
    store.downsample()
    before = store.hourly("downsampled_late")
    store.write(series, {hour[30]: {"value": 9.0}})
    store.downsample()
    after = store.hourly("downsampled_late")
    assert before == {
        hour[0]: {"host": "pi", **_summary("value", 1.5, 1, 2, 2)},
    }
    assert after == {
        hour[0]: {"host": "pi", **_summary("value", 4, 1, 9, 3)},
    }


def test_the_run_of_the_full_hour_leaves_what_began_more_than_26_hours_ago(store: Store) -> None:
    points = {_every_minute(26)[0]: {"value": 1.0}, _every_minute(27)[59]: {"value": 2.0}}
    store.write(Series("downsampled_too_late"), points)
    store.downsample()
    assert sorted(store.hourly("downsampled_too_late")) == [NOW - timedelta(hours=26)]


def _half_hours() -> list[datetime]:
    """The 27 half hours that have passed last."""
    return [NOW - timedelta(hours=hours) - timedelta(minutes=30) for hours in range(27)]


def test_the_runs_of_27_half_hours_find_every_hour_of_the_retention(store: Store) -> None:
    # An hour that began less than 60 hours ago is found by a run that is still to come.
    ages = (60, 61, 89, 90, 91, 120, 300, 401, 500, 700)
    series = Series("downsampled_week_late", {"host": "pi"})
    store.write(series, {_every_minute(age)[5]: {"value": float(age), "open": True} for age in ages})
    for when in _half_hours():
        store.downsample(when)
    found = store.hourly("downsampled_week_late")
    assert sorted(found) == sorted(NOW - timedelta(hours=age) for age in ages)
    assert {row["value"] for row in found.values()} == set(map(float, ages))
    assert all(row["open__count"] == 1 for row in found.values())


def test_a_late_point_changes_an_hour_that_was_summarised_weeks_ago(store: Store) -> None:
    hour = _every_minute(400)
    block = int(hour[0].timestamp()) // 3600 // 30
    # Each run takes the block before that of the last one, through 26 blocks.
    hours = {when: int(when.timestamp()) // 3600 for when in _half_hours()}
    run = next(when for when, number in hours.items() if number // 30 - number % 26 - 1 == block)
    store.write(Series("downsampled_changes"), {hour[0]: {"value": 1.0}})
    store.downsample(run)
    store.write(Series("downsampled_changes"), {hour[1]: {"value": 4.0}})
    store.downsample(run)
    assert store.hourly("downsampled_changes") == {hour[0]: _summary("value", 2.5, 1, 4, 2)}


def test_the_run_of_a_half_hour_reads_one_block_of_30_hours_alone(store: Store) -> None:
    ages = range(30, 690)
    store.write(Series("downsampled_block"), {_every_minute(age)[0]: {"value": 1.0} for age in ages})
    store.downsample(_half_hours()[0])
    found = sorted(store.hourly("downsampled_block"))
    assert len(found) <= 30
    assert not found or found[-1] - found[0] <= timedelta(hours=29)


def test_running_again_changes_nothing(store: Store) -> None:
    store.write(Series("downsampled_again"), {when: {"value": float(when.minute)} for when in _every_minute(2)})
    store.downsample()
    once = store.hourly("downsampled_again")
    store.downsample()
    assert store.hourly("downsampled_again") == once
    assert len(once) == 1


def test_the_hour_that_is_not_over_waits_for_its_end(store: Store) -> None:
    store.write(Series("downsampled_now"), {NOW: {"value": 1.0}, NOW - timedelta(seconds=1): {"value": 2.0}})
    store.downsample()
    assert sorted(store.hourly("downsampled_now")) == [NOW - timedelta(hours=1)]


def test_texts_and_truth_values_just_outside_the_hours_do_not_keep_them_from_being_summarised(store: Store) -> None:
    begin = NOW - timedelta(hours=26)
    day = begin.replace(hour=0)
    store.write(Series("downsampled_outside"), {
        day: {"word": "long ago", "open": True}, NOW: {"saying": "just now", "shut": True},
        NOW - timedelta(minutes=5): {"level": 2.0},
    })  # fmt: skip
    store.downsample()
    hourly = store.hourly("downsampled_outside")
    assert hourly[NOW - timedelta(hours=1)]["level"] == 2.0
    assert NOW not in hourly


def test_a_name_that_is_a_number_here_and_a_text_or_a_truth_value_there_is_summarised_where_it_is_a_number(
    store: Store,
) -> None:
    first, second, *_ = _every_minute(1)
    store.write(Series("downsampled_number"), {first: {"state": 3, "level": 1.0}, second: {"state": 5, "level": 2.0}})
    store.write(Series("downsampled_text"), {first: {"state": "on", "level": "high"}})
    store.write(Series("downsampled_truth"), {first: {"state": True}, second: {"state": False}})
    store.downsample()
    assert store.hourly("downsampled_number")[first] == {
        **_summary("state", 4, 3, 5, 2),
        **_summary("level", 1.5, 1, 2, 2),
    }
    assert store.hourly("downsampled_truth")[first] == _summary("state", 0.5, 0, 1, 2)
    assert store.hourly("downsampled_text") == {}


def test_a_field_that_changes_its_type_from_one_day_to_the_next_does_not_stop_the_others(store: Store) -> None:
    yesterday, today = _every_minute(25)[0], _every_minute(1)[0]
    changes: dict[str, tuple[FieldValue, FieldValue]] = {
        "text": ("text", 1.0),
        "number": (1.0, "text"),
        "whole": (1, 1.5),
        "truth": (True, 2.0),
        "not": (2.0, True),
    }
    for name, (before, after) in changes.items():
        series = Series(f"downsampled_from_{name}")
        store.write(series, {yesterday: {"value": before}})
        store.write(series, {today: {"value": after, "same": 3.0}})
    store.downsample()
    for name, earlier in {"text": None, "number": 1, "whole": 1, "truth": 1, "not": 2}.items():
        rows = store.hourly(f"downsampled_from_{name}")
        assert rows[today]["same"] == 3
        assert rows.get(yesterday, {}).get("value") == earlier, name


def test_names_that_mean_something_in_a_pattern_are_left_alone(store: Store) -> None:
    first = _every_minute(1)[0]
    store.write(Series("downsampled_pattern"), {first: {"a.b": "text", "axb": 1.0, "c|(d": True, "c": 2.0, "e/f": "x"}})
    store.downsample()
    row = store.hourly("downsampled_pattern")[first]
    assert {name for name in row if "__" not in name} == {"axb", "c|(d", "c"}


def test_series_are_kept_apart_by_their_tags(store: Store) -> None:
    first = _every_minute(1)[0]
    for site, value in (("north", 1.0), ("south", 2.0)):
        store.write(Series("downsampled_tags", {"site": site}), {first: {"value": value, "on": value > 1}})
    store.downsample()
    for site, value in (("north", 1.0), ("south", 2.0)):
        row = store.hourly("downsampled_tags", where=f"WHERE site = '{site}'")[first]
        assert (row["value"], row["on"]) == (value, value - 1)


def test_a_month_is_read_by_influxql_with_the_policy_alone_changed(store: Store) -> None:
    store.write(Series("downsampled_query"), {when: {"value": float(when.minute)} for when in _every_minute(2)})
    store.downsample()
    means = []
    for policy in ("raw", "hourly"):
        query = f'SELECT mean("value") FROM "{policy}"."downsampled_query" WHERE time > now() - 30d GROUP BY time(7d)'  # noqa: S608
        status, answer = _influxql(store.influxdb, f"{query} fill(none)")
        assert status == 200
        means.append(answer["results"][0]["series"][0]["values"][0][1])
    assert means == [pytest.approx(29.5), pytest.approx(29.5)]


def test_a_mean_over_hours_can_weigh_each_point_the_same(store: Store) -> None:
    full, sparse = _every_minute(2), _every_minute(1)[:6]
    points: dict[datetime, dict[str, FieldValue]] = {when: {"value": 1.0} for when in full}
    points |= {when: {"value": 12.0} for when in sparse}
    store.write(Series("downsampled_weights"), points)
    store.downsample()
    status, answer = _influxql(
        store.influxdb,
        'SELECT sum("s") / sum("n") FROM (SELECT "value" * "value__count" AS "s", "value__count" AS "n" '
        'FROM "hourly"."downsampled_weights" WHERE time > now() - 30d)',
    )
    assert status == 200, answer
    assert answer["results"][0]["series"][0]["values"][0][1] == pytest.approx((60 * 1 + 6 * 12) / 66)
