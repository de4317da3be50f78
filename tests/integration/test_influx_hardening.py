"""Permissions of Grafana's and of a device's token in Flux and at InfluxDB's other endpoints."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.integration.conftest import InfluxDB

pytestmark = pytest.mark.engines


def flux(influxdb: InfluxDB, token: str, script: str) -> tuple[int, str]:
    """Status and answer of a script."""
    answer = urllib3.request(
        "POST",
        f"{influxdb.url}/api/v2/query?org={influxdb.org}",
        headers={"Authorization": f"Token {token}", "Content-Type": "application/vnd.flux"},
        body=script.encode(),
        retries=False,
        timeout=30.0,
    )
    return answer.status, answer.data.decode()


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server on loopback, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FETCHING = {
    "http.get": 'import "experimental/http"\nimport "array"\n'
    'array.from(rows: [{a: string(v: http.get(url: "URL/get").body)}])',
    "requests.do": 'import "http/requests"\nimport "array"\n'
    'array.from(rows: [{a: string(v: requests.do(method: "GET", url: "URL/do").body)}])',
    "requests.get": 'import "http/requests"\nimport "array"\n'
    'array.from(rows: [{a: string(v: requests.get(url: "URL/get").body)}])',
    "http.post": 'import "http"\nimport "array"\n'
    'array.from(rows: [{a: http.post(url: "URL/post", data: bytes(v: "x"))}])',
    "csv": 'import "experimental/csv"\ncsv.from(url: "URL/csv")',
    "prometheus": 'import "experimental/prometheus"\nprometheus.scrape(url: "URL/metrics")',
    "influxdb": 'from(bucket: "raw", host: "URL", org: "o", token: "t") |> range(start: -1h)',
    "to": 'import "array"\nimport "experimental"\narray.from(rows: [{_time: now(), _measurement: "m", _field: "f", '
    '_value: 1.0}]) |> to(bucket: "raw", host: "URL", org: "o", token: "t")',
}


@pytest.mark.parametrize("name", FETCHING)
def test_flux_fetches_nothing_from_this_network(name: str, influxdb: InfluxDB) -> None:
    with listener() as (url, asked):
        status, answer = flux(influxdb, influxdb.read_token, FETCHING[name].replace("URL", url))
    assert asked == []
    assert status >= 400 or "error" in answer, answer


FILES = {
    "sqlite": 'import "sql"\nsql.from(driverName: "sqlite3", dataSourceName: "file:PATH", query: "SELECT 1")',
    "sqlite create": 'import "sql"\n'
    'sql.from(driverName: "sqlite3", dataSourceName: "PATH", query: "CREATE TABLE t (a)")',
    "sqlite write": 'import "sql"\nimport "array"\narray.from(rows: [{a: 1}]) '
    '|> sql.to(driverName: "sqlite3", dataSourceName: "file:PATH", table: "t", batchSize: 1)',
    "csv": 'import "csv"\ncsv.from(file: "PATH")',
    "csv url": 'import "csv"\ncsv.from(url: "file://PATH")',
}


@pytest.mark.parametrize("name", FILES)
def test_flux_neither_reads_nor_writes_files(name: str, influxdb: InfluxDB, tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    there.write_text(
        "#datatype,string,long,string\n#group,false,false,false\n#default,_result,,\n,result,table,a\n,,0,SECRET\n"
    )
    for path in (tmp_path / "made.db", there):
        status, answer = flux(influxdb, influxdb.read_token, FILES[name].replace("PATH", str(path)))
        assert status >= 400 or "error" in answer, answer
        assert "SECRET" not in answer
    assert sorted(tmp_path.iterdir()) == [there]


def test_metrics_are_closed(influxdb: InfluxDB) -> None:
    assert urllib3.request("GET", f"{influxdb.url}/metrics", retries=False).status in (403, 404)


def test_the_tokens_read_and_write_their_buckets_still(influxdb: InfluxDB) -> None:
    answer = urllib3.request(
        "POST",
        f"{influxdb.url}/api/v2/write?org={influxdb.org}&bucket={influxdb.raw}",
        headers={"Authorization": f"Token {influxdb.write_token}"},
        body=b"hardening,host=hall v=1",
    )
    assert answer.status == 204
    status, text = flux(
        influxdb,
        influxdb.read_token,
        'from(bucket: "raw") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "hardening")',
    )
    assert (status, "hardening" in text) == (200, True)


def delete(influxdb: InfluxDB, token: str) -> int:
    """The status of a request that deletes the points of this test."""
    return urllib3.request(
        "POST",
        f"{influxdb.url}/api/v2/delete?org={influxdb.org}&bucket={influxdb.raw}",
        headers={"Authorization": f"Token {token}", "Content-Type": "application/json"},
        body=b'{"start": "1970-01-01T00:00:00Z", "stop": "1970-01-02T00:00:00Z", "predicate": "host=\\"no-such\\""}',
        retries=False,
    ).status


def test_the_reading_token_deletes_nothing(influxdb: InfluxDB) -> None:
    assert delete(influxdb, influxdb.read_token) in (401, 403, 404)


def test_a_token_that_writes_a_bucket_may_delete_from_it(influxdb: InfluxDB) -> None:
    """InfluxDB 2 has no permission to write without deleting; the page on security says so."""
    assert delete(influxdb, influxdb.write_token) == 204


def test_a_token_writes_points_of_any_host(influxdb: InfluxDB) -> None:
    """InfluxDB's permissions are for buckets, not for series; the page on security says so."""
    for host in ("hall", "loft"):
        answer = urllib3.request(
            "POST",
            f"{influxdb.url}/api/v2/write?org={influxdb.org}&bucket={influxdb.raw}",
            headers={"Authorization": f"Token {influxdb.write_token}"},
            body=f"hardening,host={host} v=1".encode(),
        )
        assert answer.status == 204
