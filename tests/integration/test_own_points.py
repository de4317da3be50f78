"""InfluxDB and the check agree on every accepted body: it contains no point of another device."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from sensetig.security.own_points import refusal
from tests.integration.conftest import InfluxDB, prepared
from tests.unit.test_own_points import FOREIGN, OWN

pytestmark = pytest.mark.engines

PIECES = [
    b'"', b"\\", b"\n", b" ", b",", b"=", b"#", b"\t", b"\0", b"\r", b"\\\\", b'\\"', b"\\\n", b'="', b'",', b"v=1",
    b"m,host=other v=1", b"\nm,host=other v=1\n", b",host=other", b",host=hall", b" s=\"", b"# \"", b'"\n',
]  # fmt: skip


@pytest.fixture(scope="module")
def own(influxd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    """An InfluxDB for this file, because its points have unusual names."""
    with prepared(influxd, tmp_path_factory.mktemp("influxdb")) as started:
        yield started


def write(influxdb: InfluxDB, body: bytes) -> int:
    answer = urllib3.request(
        "POST", f"{influxdb.url}/api/v2/write?org={influxdb.org}&bucket=raw", body=body, retries=False, timeout=30.0,
        headers={"Authorization": f"Token {influxdb.write_token}", "Content-Type": "text/plain; charset=utf-8"},
    )  # fmt: skip
    return answer.status


def hosts(influxdb: InfluxDB) -> set[str]:
    """The values of the tag `host`."""
    answer = urllib3.request(
        "POST",
        f"{influxdb.url}/api/v2/query?org={influxdb.org}",
        headers={"Authorization": f"Token {influxdb.read_token}", "Content-Type": "application/vnd.flux"},
        body=b'from(bucket: "raw") |> range(start: 1900-01-01T00:00:00Z, stop: 2200-01-01T00:00:00Z)'
        b' |> keep(columns: ["host"]) |> group() |> distinct(column: "host")',
        retries=False,
        timeout=60.0,
    )
    assert answer.status == 200, answer.data
    assert b"error" not in answer.data, answer.data
    return {line.rsplit(",", 1)[-1] for line in answer.data.decode().split("\r\n") if line.startswith(",_result")}


def mutated(chance: random.Random) -> bytes:
    """A body of own and foreign lines, with pieces that came or went."""
    body = b"\n".join(chance.choices(OWN, k=2) + chance.choices(FOREIGN, k=2))
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(body) + 1)
        body = body[:place] + chance.choice([b"", *PIECES]) + body[place + chance.choice((0, 0, 1, 3)) :]
    return body.replace(b"host=other", chance.choice((b"host=hall", b"host=other", b"host=other")))


def test_no_body_that_passes_has_a_point_of_another_device(own: InfluxDB) -> None:
    chance = random.Random(20261130)  # the same bodies each time
    found: set[bytes] = set()
    while len(found) < 300:
        body = mutated(chance)
        if refusal("hall", body) == "" and (b"other" in body or b"\\" in body or b'"' in body):
            found.add(body)
    stored = [write(own, body) == 204 for body in sorted(found)]
    assert sum(stored) > 50, "too few of them are line protocol"
    assert hosts(own) == {"hall"}
    # And the means are fit to see one.
    assert write(own, b"m,host=other v=1 1796017934000000000") == 204
    assert hosts(own) == {"hall", "other"}
