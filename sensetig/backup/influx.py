"""InfluxDB's own interface for backups: metadata in one answer, then each shard; and the way back.

https://docs.influxdata.com/influxdb/v2/api/backup/ and …/restore/. It is what `influx backup` and `influx restore
--full` speak, which come with the vendor's command line; the database goes on meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import urllib3
from urllib3.exceptions import HTTPError

from sensetig.backup.errors import BackupError

#: Seconds that InfluxDB may be silent within one answer: a shard is put together before its first byte comes.
TIMEOUT_SECONDS = 300.0

CHUNK = 1 << 20


class Influx:
    """One InfluxDB, spoken to with its operator token.

    Args:
        url: where it listens.
        token: the operator's, since no other may make a backup.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Token {token}"}
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=10, read=TIMEOUT_SECONDS))

    def metadata(self, into: IO[bytes]) -> str:
        """Write the answer with all metadata; its content type, which :func:`parts` needs to take it apart."""
        answer = self._request("GET", "/api/v2/backup/metadata", "give its metadata")
        _copy(answer, into)
        return str(answer.headers.get("Content-Type", ""))

    def shard(self, number: int, into: IO[bytes]) -> bool:
        """Write one shard, compressed. False where its time is over meanwhile, so that it is gone."""
        headers = {"Accept-Encoding": "gzip", "Gzip-Compression-Level": "speedy"}
        answer = self._request("GET", f"/api/v2/backup/shards/{number}", f"give shard {number}", headers, missing=True)
        if answer.status == 404:
            answer.drain_conn()
            return False
        if answer.headers.get("Content-Encoding") == "gzip":
            _copy(answer, into)
            return True
        import gzip

        # What is small it sends as it is.
        with gzip.GzipFile(fileobj=into, mode="wb", compresslevel=1, mtime=0) as packed:
            _copy(answer, packed)
        return True

    def restore(self, what: str, data: IO[bytes], *, packed: bool = False) -> None:
        """Hand back the metadata (``kv``, then ``sql``) or a shard (``shards/7``), over what is there."""
        headers = {"Content-Type": "application/octet-stream"}
        if packed:
            headers["Content-Encoding"] = "gzip"
        self._request("POST", f"/api/v2/restore/{what}", f"take {what} back", headers, body=data).drain_conn()

    def _request(
        self,
        method: str,
        path: str,
        purpose: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: IO[bytes] | None = None,
        missing: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        try:
            answer = self._pool.request(
                method,
                f"{self.url}{path}",
                headers={**self._headers, **(headers or {})},
                body=body,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as error:
            raise BackupError(
                f"InfluxDB at {self.url} does not answer ({type(error).__name__}); is it running, and is --url its "
                "address?"
            ) from None
        if answer.status in (401, 403):
            raise BackupError(
                f"InfluxDB at {self.url} refused to {purpose}: the token is not its operator's; see operator.token"
            )
        if answer.status >= 300 and not (missing and answer.status == 404):
            raise BackupError(f"InfluxDB at {self.url} refused to {purpose}: {_said(answer)} (status {answer.status})")
        return answer


def _copy(answer: urllib3.BaseHTTPResponse, into: Any) -> None:
    try:
        for chunk in answer.stream(CHUNK, decode_content=False):
            into.write(chunk)
    except HTTPError as error:
        raise BackupError(f"InfluxDB ended its answer in the middle ({type(error).__name__}); try again") from None


def _said(answer: urllib3.BaseHTTPResponse) -> str:
    try:
        document = json.loads(answer.read(65536))
        return " ".join(str(document.get("message", "no reason given")).split())
    except (ValueError, AttributeError):
        return "no reason given"


def parts(data: bytes, content_type: str) -> dict[str, bytes]:
    """The named parts of a multipart answer.

    Raises:
        BackupError: it is none, or was cut off.

    >>> parts(b'--b\\r\\nContent-Disposition: attachment; name="kv"\\r\\n\\r\\n\\x00\\r\\n\\r\\n--b--\\r\\n',
    ...       'multipart/mixed; boundary=b')
    {'kv': b'\\x00\\r\\n'}
    """
    from email.message import Message

    kind = Message()
    kind["Content-Type"] = content_type
    boundary = kind.get_boundary()
    if not boundary:
        raise BackupError("InfluxDB's answer is not a backup of its metadata; is it InfluxDB 2.1 or later?")
    mark = f"\r\n--{boundary}".encode()
    first, *sections = (b"\r\n" + data).split(mark)
    if first.strip() or not sections or not sections[-1].startswith(b"--"):
        raise BackupError("InfluxDB ended its metadata in the middle; try again")
    found = {}
    for section in sections[:-1]:
        head, _, content = section.partition(b"\r\n\r\n")
        described = Message()
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            if value:
                described[name] = value.strip()
        found[str(described.get_param("name", "", "content-disposition"))] = content
    return found


def shards(buckets: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    """The numbers of the shards in a list of buckets, as the metadata has it; those whose time is over left out."""
    for bucket in buckets:
        for policy in bucket.get("retentionPolicies") or ():
            for group in policy.get("shardGroups") or ():
                if not group.get("deletedAt"):
                    yield from (int(each["id"]) for each in group.get("shards") or ())
