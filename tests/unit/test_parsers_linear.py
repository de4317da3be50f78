"""No payload takes a parser longer than its length explains: adversarial shapes against plain ones of the same size."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest

from collectors.core.line_protocol_parser import ParseError, decode, decode_lines
from collectors.messaging.parsers import Bounds, read_encoded, read_message
from collectors.messaging.parsers.results import PayloadError
from collectors.messaging.parsers.timestamps import read_time
from collectors.telemetry.limits import LimitsError
from collectors.telemetry.limits import read as read_limits
from collectors.telemetry.lines import Lines

SIZE = 1_000_000
NOW = 1_800_000_000_000_000_000

#: As large as a message may be for this test: the parsers are tried, not their bounds.
WIDE = Bounds(payload_bytes=8 * SIZE, metrics=10**9, fields=10**9)


def _times(piece: str) -> str:
    return piece * (SIZE // len(piece.encode()))


SHAPES = {
    "digits": _times("9"),
    "digits and a letter": _times("9") + "x",
    "signs": _times("-+"),
    "points": _times("1."),
    "exponents": _times("1e"),
    "exponent": "1e" + _times("9"),
    "brackets": _times("["),
    "pairs of brackets": _times("[]"),
    "braces": _times('{"a":'),
    "quotes": _times('"'),
    "odd quotes": _times('"') + '"',
    "backslashes": _times("\\"),
    "backslashes and quotes": _times('\\"'),
    "an open string": '{"a":"' + _times('\\"'),
    "spaces": _times(" ") + "x",
    "escaped spaces": _times("\\ "),
    "commas": _times(","),
    "equals": _times("="),
    "commas and spaces": _times(",  "),
    "a comma and spaces": "," + _times(" "),
    "foreign numbers": _times("+.5,"),
    "zeros": _times("0"),
    "pairs": _times("a=1,"),
    "tags": "m," + _times("a=b,") + "a=b f=1",
    "words": _times("aA"),
    "letters of two bytes": _times("é"),
    "marks of four bytes": _times("\U0001f600"),
    "not a number": _times("nan,"),
    "infinite": _times("-inf"),
    "lines": _times("m a=1\n"),
    "broken lines": _times('m a="\n'),
    "comments": _times("#\n"),
    "tabs": _times("\t"),
    "zero bytes": _times("\0") + "x",
}
WRAPPED = {
    "alone": "{}",
    "a number": '{{"a": {}}}',
    "a text": '{{"a": "{}"}}',
    "a key": '{{"{}": 1}}',
    "a list": '{{"a": [{}]}}',
    "a time": '{{"a": 1, "time": "{}"}}',
    "a field": "m a={}",
    "an integer": "m a={}i",
    "a stamp": "m a=1 {}",
    "a name": "m,a={} b=1",
}


def _json(text: str) -> str:
    return '{"a": [' + text + "]}"


def _many() -> dict[str, str]:
    """Valid payloads with as much of one thing as fits."""
    keys = ",".join(f'"k{number}": 1' for number in range(SIZE // 14))
    same = ",".join('"k": 1' for _ in range(SIZE // 7))
    return {
        "many keys": "{" + keys + "}",
        "one key many times": "{" + same + "}",
        "sensors": "{" + ",".join(f'"S{number}": {{"Temperature": 1}}' for number in range(SIZE // 28)) + "}",
        "one sensor many times": "{" + ",".join('"": {"Id": "1", "Temperature": 1}' for _ in range(SIZE // 33)) + "}",
        "a batch": "[" + ",".join(f'{{"a": 1, "time": {number}}}' for number in range(SIZE // 22)) + "]",
        "numbers that are none": _json(",".join(["nan"] * (SIZE // 4))),
        "large numbers": _json(",".join(["9" * 400] * (SIZE // 401))),
        "long names within each other": '{"' + "a" * 100_000 + '": {' + keys + "}}",
    }


def _seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    with contextlib.suppress(ParseError, PayloadError, LimitsError):
        call()
    return time.process_time() - started


READERS: dict[str, Callable[[str], object]] = {
    **{
        topic: lambda text, topic=topic: read_message(topic, text.encode(), NOW, WIDE)  # type: ignore[misc]
        for topic in (
            "sensetig/hall/telemetry",
            "sensetig/hall/status",
            "tele/hall/SENSOR",
            "tele/hall/STATE",
            "zigbee2mqtt/hall",
            "esphome/hall/sensor/x/state",
            "esphome/hall/light/x/state",
            "homeassistant/sensor/hall/state",
        )
    },
    "a topic": lambda text: read_message(text, b"{}", NOW),
    "line protocol": lambda text: decode(text),
    "lines of text": lambda text: [*decode_lines(text)],
    "a pipe": lambda text: [*Lines(4 * SIZE).feed(text.encode()), *Lines(4 * SIZE).end()],
    "a time": read_time,
    "limits": lambda text: read_limits(text, "limits.toml"),
}

#: Readers that are tried with every shape in every place.
WRAPPED_FOR = ("sensetig/hall/telemetry",)

#: A second for a megabyte of anything: the plainest batch takes about as long.
BENIGN = "\n".join(f"room,sensor=a{number % 9} temperature=21.5 {NOW + number}" for number in range(SIZE // 50))


@pytest.fixture(scope="module")
def benign_seconds() -> float:
    """The time for a megabyte of plain lines: the measure of this machine, now."""
    return min(_seconds(lambda: read_message("sensetig/hall/telemetry", BENIGN.encode(), NOW, WIDE)) for _ in range(3))


@pytest.mark.parametrize("shape", [*SHAPES, *_many()])
def test_the_time_for_a_megabyte_of_any_shape_is_within_that_of_plain_lines(shape: str, benign_seconds: float) -> None:
    for name, reader in READERS.items():
        wrapped = (WRAPPED if name in WRAPPED_FOR else {"alone": "{}"}) if shape in SHAPES else {"alone": "{}"}
        for form in wrapped.values():
            text = form.format(SHAPES[shape]) if shape in SHAPES else _many()[shape]
            # The shortest lines are eight times as many; a superlinear reader takes a thousand times as long. The best
            # of three runs counts: other programs can slow a run down, and nothing speeds it up.
            limit = 24 * benign_seconds + 0.5
            taken = (_seconds(lambda text=text, reader=reader: reader(text)) for _ in range(3))  # type: ignore[misc]
            assert any(seconds < limit for seconds in taken), (name, text[:20], len(text))


@pytest.mark.parametrize("ending", ["i", "u", "x", "", "e", "."])
def test_the_time_for_a_number_of_any_length_grows_as_its_length(ending: str) -> None:
    small, large = (
        min(_seconds(lambda size=size: decode(f"m a={'9' * size}{ending}")) for _ in range(3))  # type: ignore[misc]
        for size in (SIZE // 8, SIZE)
    )
    assert large < 40 * small + 0.02


def test_a_message_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    [refused] = read_encoded("sensetig/hall/telemetry/m", "!" * 4 * SIZE, NOW)
    assert (refused.reason, refused.device) == ("too_large", "hall")  # type: ignore[union-attr]
