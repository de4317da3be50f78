"""Which bucket the dashboards read, by the hidden variables in Flux and the hours that a device has."""

from __future__ import annotations

import time
from urllib.parse import urlencode

import pytest
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient

from grafana.dashboards.lib import buckets
from tests import dashboards
from tests.integration.conftest import InfluxDB

pytestmark = pytest.mark.engines

BOARD = dashboards.committed()["device.json"]


def write_hours(influxdb: InfluxDB, host: str, hours: int) -> None:
    """The hours before now that a device has in the bucket of hours."""
    now = int(time.time())
    lines = [f"cpu,cpu=cpu-total,host={host},site=here usage_idle=50 {now - 3600 * ago - 60}" for ago in range(hours)]
    query = urlencode({"org": influxdb.org, "bucket": influxdb.hourly, "precision": "s"})
    answer = urllib3.request(
        "POST",
        f"{influxdb.url}/api/v2/write?{query}",
        body="\n".join(lines),
        headers={"Authorization": f"Token {influxdb.operator_token}"},
    )
    assert answer.status == 204, answer.data


@pytest.mark.parametrize(
    ("hours", "interval", "marks"),
    [
        (0, "1h", buckets.OF_POINTS),
        (20, "1h", buckets.OF_POINTS),
        (40, "1h", buckets.OF_HOURS),
        (40, "5m", buckets.OF_POINTS),
    ],
)
def test_a_new_device_shows_points_until_it_has_a_day_of_hours(
    hours: int, interval: str, marks: dict[str, str], influxdb: InfluxDB
) -> None:
    host = f"new-{hours}-{interval}"
    write_hours(influxdb, host, hours)
    write_hours(influxdb, "another", 100)
    chosen = {"host": host, "interval": interval}
    found = {}
    with InfluxDBClient(influxdb.url, influxdb.read_token, org=influxdb.org) as client:
        for variable in BOARD["templating"]["list"]:
            if variable["name"] in marks:
                asked = dashboards.filled(variable["query"]["query"], chosen)
                asked = asked.replace("v.timeRangeStart", "-7d").replace("v.timeRangeStop", "now()")
                ((record,),) = (table.records for table in client.query_api().query(asked))
                found[variable["name"]] = record.values["_value"]
    assert found == marks
