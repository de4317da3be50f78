"""A device writes its own points only, whatever the body looks like."""

from __future__ import annotations

import time

import pytest

from collectors.core.line_protocol import Metric, Series, encode
from sensetig.security.own_points import OwnPoints, refusal

OWN = [
    b"",
    b"\n \n# a comment\n",
    b"m,host=hall v=1",
    b"m,host=hall v=1 1796017934000000000\nm,host=hall v=2\n",
    b'm,a=b,host=hall,z=1 v=1i,w=t,s="text" -5\n',
    b'm,host=hall s="a, b=c and \\" and \\\\"\n',
    b'm,host=hall s="two\nlines, m,host=other v=1"\nm,host=hall v=1',
    b"m\\ x,host=hall,path=/mnt/a\\ b v\\ w=1",
    b"m,host=hall,path=a\\\\b v=1",
    b'm,host=hall,quote="a v=1',
    b"m,host=hall v=1 5 \r\n",
    b'm,host=hall a"b=1,c"=2',
    # InfluxDB refuses these; there is nothing of others in them.
    b"m,host=hall v",
    b"m,host=hall v=1 5 6",
]

FOREIGN = [
    b"m,host=other v=1",
    b"m v=1",
    b"m,Host=hall v=1",
    b"m,host=hall2 v=1",
    b"m,host=hal v=1",
    b"m,host=hall\\  v=1",
    b"m,host=hall,host=other v=1",
    b"m,host=other,host=hall v=1",
    b"m,a=host\\=hall,host=other v=1",
    b"m,a=b\\,host\\=hall v=1",
    b"m\\,host=hall v=1",
    b"m,host=hall v=1\nm,host=other v=1",
    # Ambiguous text: lines that InfluxDB would split differently.
    b'# "\nm,host=other v=1\n# "',
    b"# \\\nm,host=other v=1",
    b'm,host=hall "=1\nm,host=other v=1,s="',
    b'm,host=hall v"=1\nm,host=other v=2,s="a"',
    b'm,host=hall v=1,w"x=2\nm,host=other v=1\nm,host=hall s="',
    b'm,host=hall s="unterminated\nm,host=other v=1',
    b'm,host=hall s="a"b"\nm,host=other v=1',
    b"m,host=hall v=1\\\nm,host=other v=1",
    b"m,host=hall,a=b\\\\ v=1\nm,host=other v=1",
    b"m,a=b\\\\,host=hall v=1",
    b"m,a=b\\\\\\,host=hall v=1",
    b",host=hall v=1",
    b"m,host=hall",
    b"\tm,host=other v=1",
    b"\0m,host=other v=1",
    b'm,host=hall v=1 "\nm,host=other v=1',
]


@pytest.mark.parametrize("body", OWN)
def test_own_points_pass(body: bytes) -> None:
    assert refusal("hall", body) == ""


@pytest.mark.parametrize("body", FOREIGN)
def test_points_that_are_another_s_or_cannot_be_attributed_are_refused(body: bytes) -> None:
    assert refusal("hall", body)


def test_the_reason_names_the_line_and_both_devices() -> None:
    reason = refusal("hall", b"m,host=hall v=1\nm,host=cellar v=1")
    assert reason == "line 2 is a point of 'cellar', and not of hall: a device writes its own points only"
    assert "'no host'" in refusal("hall", b"m v=1")
    assert len(refusal("hall", b"m,host=" + b"x" * 100_000 + b" v=1")) < 250


def test_everything_that_the_collectors_encode_passes() -> None:
    strange = ["a b", "a,b", "a=b", 'a"b', "a\\b", "\\\\server\\share", "/mnt/x\\040y", "ünï", "tab\there", "#a"]
    for text in strange:
        tags = {"host": "hall", "path": text, text: "x"}
        line = encode(Metric(Series(f"m{text}", tags), {"v": 1.5, text: True, "s": f'{text}\n"{text}"'}, 1_796_017_934))
        assert refusal("hall", line.encode()) == "", line


@pytest.mark.parametrize(
    "body",
    [
        b"m," + b"a=b," * 200_000,
        b"\\" * 1_000_000,
        b"m,host=hall v=" + b"9" * 1_000_000,
        b'm,host=hall s="' + b'\\"' * 500_000,
        b"m,host=hall " + b"a=1," * 250_000,
        b" " * 1_000_000 + b"x",
        b"\n" * 500_000,
        b"m,host=hall v=1 " * 60_000,
    ],
    ids=["tags", "backslashes", "digits", "quotes", "fields", "spaces", "lines", "times"],
)
def test_the_time_is_linear_in_the_length(body: bytes) -> None:
    def seconds(part: bytes) -> float:
        start = time.thread_time()  # of this thread alone, so that a busy machine changes nothing
        refusal("hall", part)
        return time.thread_time() - start

    seconds(body)
    small, large = (min(seconds(part) for _ in range(3)) for part in (body[: len(body) // 10], body))
    assert large < 40 * small + 0.05


def test_a_gateway_writes_for_others_and_a_refusal_is_logged_once_an_hour() -> None:
    said: list[str] = []
    now = [0.0]
    check = OwnPoints({"loft"}, said.append, lambda: now[0])
    assert check("loft", b"m,host=plug v=1") == ""
    for _ in range(3):
        assert check("hall", b"m,host=plug v=1")
    assert check("hall", b"m,host=hall v=1") == ""
    assert said == [
        "refused points of hall: line 1 is a point of 'plug', and not of hall: a device writes its own points only"
    ]
    now[0] = 3600.0
    check("hall", b"m,host=plug v=1")
    assert len(said) == 2
