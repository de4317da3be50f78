"""The table of the latest events shows JPEGs alone: a browser loads whatever another address names."""

from __future__ import annotations

import json
import time
from urllib.parse import urlencode

import pytest
import urllib3

from tests import dashboards
from tests.integration.conftest import InfluxDB

pytestmark = pytest.mark.engines

JPEG = "data:image/jpeg;base64,/9j/4AAQSkZJRg+/AQ=="
HOSTILE = [
    "https://example.org/x.jpg",
    "data:image/svg+xml;base64,PHN2Zy8+",
    "data:text/html;base64,PHNjcmlwdD4=",
    "data:image/jpeg;base64,AAAA",
    f"https://example.org/?{JPEG}",
    f'{JPEG}\\" onerror=\\"alert(1)',
    f"{JPEG}\n",
    f" {JPEG}",
]


def test_only_data_uris_of_jpegs_are_shown(influxdb: InfluxDB) -> None:
    now = time.time_ns()
    lines = [
        f'camera_event,host=thumbnails,site=s,camera=c{index},kind=end score=1,thumbnail="{each}" {now - index}'
        for index, each in enumerate([JPEG, *HOSTILE])
    ]
    answer = urllib3.request(
        "POST",
        f"{influxdb.url}/api/v2/write?org={influxdb.org}&bucket=raw",
        headers={"Authorization": f"Token {influxdb.write_token}"},
        body="\n".join(lines).encode(),
    )
    assert answer.status == 204, answer.data
    (query,) = (
        target.query
        for target in dashboards.targets(dashboards.committed()["camera.json"])
        if '"thumbnail"' in target.query
    )
    values = {"host": "thumbnails", "site": ".*", "interval": "10s"}
    asked = dashboards.filled(query, values, begin_ms=now // 10**6 - 60_000, end_ms=now // 10**6 + 60_000)
    found = urllib3.request(
        "POST",
        f"{influxdb.url}/query",
        headers={
            "Authorization": f"Token {influxdb.read_token}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
        body=urlencode({"db": "raw", "q": asked}).encode(),
    )
    (series,) = json.loads(found.data)["results"][0]["series"]
    assert [row[1] for row in series["values"]] == [JPEG]
