"""Messages of real firmware, and odd ones: each good part is kept, each bad one has its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.core.line_protocol import Metric, encode
from collectors.messaging.parsers import read_message

NOW = 1_796_000_000_000_000_000


def _cases() -> list[tuple[str, str, list[str]]]:
    found: list[tuple[str, str, list[str]]] = []
    for line in Path(__file__).with_name("firmware_messages.txt").read_text(encoding="utf-8").split("\n"):
        if line.startswith("    "):
            found[-1][2].append(line[4:])
        elif line and not line.startswith("#"):
            topic, _, payload = line.partition("\t")
            found.append((topic, payload, []))
    return found


def _outcomes(topic: str, payload: bytes) -> list[str]:
    found = []
    for each in read_message(topic, payload, NOW):
        if isinstance(each, Metric):
            device = each.series.tags["device"].replace(" ", "\\ ")
            found.append(encode(each).replace(f",device={device}", "", 1).removesuffix(f" {NOW}"))
        else:
            found.append(f"refused {each.reason}")
    return found or ["nothing"]


@pytest.mark.parametrize(("topic", "payload", "expected"), _cases())
def test_the_valid_part_of_a_message_is_kept(topic: str, payload: str, expected: list[str]) -> None:
    assert _outcomes(topic, payload.encode()) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"a":1,"time":1}\n{"a":2,"time":2}\r\n', ["m a=1.0 1000000000", "m a=2.0 2000000000"]),
        (b'{"a":1}\n{"b":\n', ["refused truncated_json"]),
        (b"m a=1 5\r\nm a=2 6\r\n", ["m a=1.0 5", "m a=2.0 6"]),
        (
            b"m a=1 5\nm a=nan,b=1 6\nm a= 7\n",
            ["m a=1.0 5", "refused not_finite", "m b=1.0 6", "refused not_line_protocol"],
        ),
        ('{"a":1}'.encode("utf-16"), ["refused not_utf8"]),
        (b"\x1f\x8b\x08\x00\x00", ["refused not_utf8"]),
        (b"\xa1\x61\x61\x01", ["refused not_utf8"]),
        (b'\xef\xbb\xbf{"a":1}\0', ["m a=1.0"]),
    ],
    ids=["lines of JSON", "a cut line of JSON", "CRLF", "one value that is none", "UTF-16", "gzip", "CBOR", "a mark"],
)
def test_a_payload_of_several_lines_or_of_another_encoding(payload: bytes, expected: list[str]) -> None:
    assert _outcomes("sensetig/hall/telemetry/m", payload) == expected
