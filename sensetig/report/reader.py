"""InfluxQL in, series out: the one place of reports and of the status that speaks to InfluxDB."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util.url import parse_url

from sensetig.report.errors import ReportError

#: Seconds that one request may take: a year of one device is asked for in parts, each far below this.
TIMEOUT_SECONDS = 60.0

Value = float | int | bool | str | None


class Series(NamedTuple):
    """One series of an answer; the first column is the time in milliseconds since 1970."""

    tags: dict[str, str]
    columns: list[str]
    rows: list[list[Value]]


class Reader:
    """Asks one InfluxDB with a token that may read.

    Args:
        url: where it listens.
        token: may read the buckets; a write token does not do.
        origin: where the token comes from, for messages.

    Raises:
        ReportError: the URL is none.
    """

    def __init__(self, url: str, token: str, origin: str = "the token") -> None:
        self.url = url.rstrip("/")
        try:
            parsed = parse_url(self.url)
        except HTTPError:
            parsed = parse_url("")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ReportError(f"{url!r} is not the URL of an InfluxDB; expected one such as http://127.0.0.1:8086")
        self._origin = origin
        self._headers = {"Authorization": f"Token {token}", "Content-Type": "application/x-www-form-urlencoded"}
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(TIMEOUT_SECONDS))

    def ask(self, query: str, database: str = "raw") -> list[Series]:
        """The series that one statement gives."""
        (series,) = self.ask_all([query], database)
        return series

    def ask_all(self, queries: Sequence[str], database: str = "raw") -> list[list[Series]]:
        """What each statement gives, asked at once. Raises ReportError when InfluxDB does not answer or refuses."""
        if not queries:
            return []
        body = urlencode({"db": database, "q": ";".join(queries), "epoch": "ms"})
        try:
            answer = self._pool.request("POST", f"{self.url}/query", body=body, headers=self._headers)
        except HTTPError as error:
            raise ReportError(
                f"InfluxDB at {self.url} does not answer ({type(error).__name__}); is it running, and is --url its "
                "address?"
            ) from None
        if answer.status in (401, 403):
            raise ReportError(f"InfluxDB at {self.url} does not let {self._origin} read; it needs grafana.token")
        try:
            document = json.loads(answer.data)
            results = document.get("results", [])
        except (ValueError, AttributeError):
            raise ReportError(f"what answers at {self.url} is not InfluxDB 2 (status {answer.status})") from None
        if answer.status != 200 or len(results) != len(queries):
            said = document.get("error") or document.get("message") or f"status {answer.status}"
            raise ReportError(f"InfluxDB at {self.url} refused a query: {said}")
        return [_series(result, database) for result in results]


def _series(result: dict[str, object], database: str) -> list[Series]:
    if "error" in result:
        said = str(result["error"])
        if "not found" in said or "not authorized" in said or "forbidden" in said or "retention policy not set" in said:
            raise ReportError(
                f"the bucket {database!r} is not there, or the token may not read it ({said}); grafana.token may"
            )
        raise ReportError(f"InfluxDB refused a query on the bucket {database!r}: {said}")
    listed = result.get("series", [])
    assert isinstance(listed, list)
    return [Series(each.get("tags", {}), each["columns"], each["values"]) for each in listed]


def quoted(text: str) -> str:
    """A text as InfluxQL spells it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def hosts(reader: Reader) -> list[str]:
    """Every device that has written points which are still kept."""
    named: set[str] = set()
    for database in ("raw", "hourly"):
        for series in reader.ask('SHOW TAG VALUES WITH KEY = "host"', database):
            named.update(str(row[1]) for row in series.rows)
    return sorted(named)
