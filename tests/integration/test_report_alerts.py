"""The provisioned alert rules, evaluated for a report on a real InfluxDB: what happened is found, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import urllib3

from sensetig import bundle
from sensetig.influxdb.client import Client
from sensetig.report import alerts
from sensetig.report.alerts import Alert, Alerts
from sensetig.report.period import Period
from tests.integration.conftest import InfluxDB

pytestmark = pytest.mark.engines

MINUTE, HOUR = 60, 3600

#: Eight hours that have ended; both devices have written for a day before.
END = int(time.time()) // HOUR * HOUR
BEGIN = END - 8 * HOUR

#: In seconds since the period's begin: when the supply was weak, the disk full, the device silent.
WEAK = (HOUR + 5 * MINUTE, HOUR + 12 * MINUTE)
FULL = (2 * HOUR, 3 * HOUR)
SILENT = (5 * HOUR, 6 * HOUR)

DEVICE, OTHER = "alerts-pi", "alerts-other"


def lines(device: str, *, well: bool) -> Iterator[str]:
    for at in range(-16 * HOUR, END - BEGIN, 20):
        if not well and SILENT[0] <= at < SILENT[1]:
            continue
        weak = not well and WEAK[0] <= at < WEAK[1]
        full = 93.0 if not well and FULL[0] <= at < FULL[1] else 60.0
        stamp = BEGIN + at
        yield f"system,host={device},site=s uptime={at + 10**6}i {stamp}"
        yield f"pi,host={device},site=s,model=p under_voltage={str(weak).lower()},throttled=false {stamp}"
        yield f"disk,host={device},site=s,path=/,mode=rw used_percent={full},free=1000000i {stamp}"
        yield f"mem,host={device},site=s used_percent=40 {stamp}"


@pytest.fixture(scope="module")
def reader(influxdb: InfluxDB) -> Client:
    written = [*lines(DEVICE, well=False), *lines(OTHER, well=True)]
    for start in range(0, len(written), 5000):
        answer = urllib3.request(
            "POST",
            f"{influxdb.url}/api/v2/write?org={influxdb.org}&bucket=raw&precision=s",
            body="\n".join(written[start : start + 5000]).encode(),
            headers={"Authorization": f"Token {influxdb.write_token}"},
        )
        assert answer.status == 204, answer.data
    return Client(influxdb.url, influxdb.read_token)


def found(reader: Client, device: str, begin: int, end: int, kept: int = 0) -> Alerts:
    rules = alerts.read(bundle.root() / "grafana" / "provisioning" / "alerting")
    assert len(rules) >= 15
    span = Period(datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(end, UTC), "raw", 60)
    return alerts.gather(reader, rules, device, span, kept * 1000)


def minutes(alert: Alert) -> tuple[float, float]:
    return (alert.begin_ms / 1000 - BEGIN) / MINUTE, (alert.end_ms / 1000 - BEGIN) / MINUTE


def test_what_happened_is_found_with_its_times_and_nothing_else(reader: Client) -> None:
    told = found(reader, DEVICE, BEGIN, END)
    assert told.unread == ()
    by_title = {each.title: each for each in told.alerts}
    assert list(by_title) == ["Under-voltage", "Disk nearly full", "Device silent"]
    assert len(told.alerts) == 3
    assert not any(each.lasting for each in told.alerts)

    # Grafana evaluates once a minute, and the query looks back over five.
    begin, end = minutes(by_title["Under-voltage"])
    assert begin == pytest.approx(WEAK[0] / MINUTE, abs=1)
    assert end == pytest.approx(WEAK[1] / MINUTE + 5, abs=1)
    # It has to be full for five minutes.
    begin, end = minutes(by_title["Disk nearly full"])
    assert begin == pytest.approx(FULL[0] / MINUTE + 5, abs=1)
    assert end == pytest.approx(FULL[1] / MINUTE, abs=1)
    assert by_title["Disk nearly full"].about == "/"
    assert by_title["Disk nearly full"].severity == "critical"
    # Silent after ten minutes, looked at every five.
    begin, end = minutes(by_title["Device silent"])
    assert begin == pytest.approx(SILENT[0] / MINUTE + 12.5, abs=3)
    assert end == pytest.approx(SILENT[1] / MINUTE - 2.5, abs=3)


def test_a_device_that_was_well_has_no_alert(reader: Client) -> None:
    told = found(reader, OTHER, BEGIN, END)
    assert (told.alerts, told.unread) == ((), ())
    assert told.every_seconds > 0


def test_an_alert_at_the_end_of_the_period_still_lasts(reader: Client) -> None:
    told = found(reader, DEVICE, BEGIN, BEGIN + SILENT[1] - 10 * MINUTE)
    assert [each.title for each in told.alerts if each.lasting] == ["Device silent"]


def test_expired_data_is_not_silence(reader: Client) -> None:
    before = BEGIN - timedelta(days=20) // timedelta(seconds=1)
    told = found(reader, DEVICE, before, END, kept=BEGIN)
    assert told.begin_ms == BEGIN * 1000
    assert [each.title for each in told.alerts] == ["Under-voltage", "Disk nearly full", "Device silent"]
    gone = found(reader, DEVICE, before, BEGIN, kept=BEGIN)
    assert (gone.alerts, gone.every_seconds) == ((), 0)
