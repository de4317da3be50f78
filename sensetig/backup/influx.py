"""InfluxDB's API for backups: metadata in one response, then each shard; and the API for restoring.

https://docs.influxdata.com/influxdb/v2/api/backup/ and …/restore/. The vendor's command line uses the same API for
`influx backup` and `influx restore --full`; the database keeps running in the meantime.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import urllib3
from urllib3.exceptions import HTTPError

from sensetig.errors import BackupError
from sensetig.influxdb.client import Client

#: Seconds without data allowed within a response: a shard is assembled before its first byte is sent.
TIMEOUT_SECONDS = 300.0

CHUNK = 1 << 20


class BackupClient(Client):
    """InfluxDB's API for backups, which accepts only the operator token."""

    def __init__(self, url: str, token: str, *, origin: str, ca_file: Path | None = None) -> None:
        super().__init__(url, token, origin=origin, ca_file=ca_file, timeout_seconds=TIMEOUT_SECONDS)

    def metadata(self, into: IO[bytes]) -> str:
        """Write the response with all metadata; return its content type, which :func:`parts` needs to split it."""
        answer = self.request("GET", "/api/v2/backup/metadata", "give its metadata", stream=True)
        _copy(answer, into)
        return str(answer.headers.get("Content-Type", ""))

    def shard(self, number: int, into: IO[bytes]) -> bool:
        """Write one shard, compressed; False if its retention ended in the meantime, so that it is gone."""
        headers = {"Accept-Encoding": "gzip", "Gzip-Compression-Level": "speedy"}
        path, purpose = f"/api/v2/backup/shards/{number}", f"give shard {number}"
        answer = self.request("GET", path, purpose, headers=headers, stream=True, accept=(404,))
        if answer.status == 404:
            answer.drain_conn()
            return False
        if answer.headers.get("Content-Encoding") == "gzip":
            _copy(answer, into)
            return True
        import gzip

        # Small shards are not compressed.
        with gzip.GzipFile(fileobj=into, mode="wb", compresslevel=1, mtime=0) as packed:
            _copy(answer, packed)
        return True

    def restore(self, what: str, data: IO[bytes], *, packed: bool = False) -> None:
        """Replace the metadata (``kv``, then ``sql``) or a shard (``shards/7``)."""
        headers = {"Content-Type": "application/octet-stream"}
        if packed:
            headers["Content-Encoding"] = "gzip"
        path, purpose = f"/api/v2/restore/{what}", f"take {what} back"
        self.request("POST", path, purpose, headers=headers, body=data, stream=True).drain_conn()


def _copy(answer: urllib3.BaseHTTPResponse, into: Any) -> None:
    try:
        for chunk in answer.stream(CHUNK, decode_content=False):
            into.write(chunk)
    except HTTPError as error:
        raise BackupError(f"InfluxDB ended its answer in the middle ({type(error).__name__}); try again") from None


def parts(data: bytes, content_type: str) -> dict[str, bytes]:
    """The named parts of a multipart answer.

    Raises:
        BackupError: it is not multipart, or was cut off.

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
    """The numbers of the shards in a list of buckets from the metadata, without expired ones."""
    for bucket in buckets:
        for policy in bucket.get("retentionPolicies") or ():
            for group in policy.get("shardGroups") or ():
                if not group.get("deletedAt"):
                    yield from (int(each["id"]) for each in group.get("shards") or ())
