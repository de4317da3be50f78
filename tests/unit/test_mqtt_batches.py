"""Lines in batches: each once, bounded, and invalid ones rejected and counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.mqtt.batches import MAX_LINE_BYTES, Batch, Batches, measurement_of


def popped(batches: Batches) -> list[Batch]:
    found = []
    while (batch := batches.pop()) is not None:
        found.append(batch)
    return found


names = st.sampled_from(["cpu", "mem", "a b,c", "größe"])


@given(
    st.lists(st.tuples(names, st.integers(0, 9999)), max_size=60),
    st.integers(1, 10),
    st.integers(40, 400),
    st.lists(st.integers(1, 50), max_size=100),
)
def test_every_line_is_in_one_batch_of_its_measurement(
    wanted: list[tuple[str, int]], max_lines: int, max_bytes: int, cuts: list[int]
) -> None:
    lines = [
        (name, f"{name.replace(' ', chr(92) + ' ').replace(',', chr(92) + ',')} value={n} {n}") for name, n in wanted
    ]
    data = "".join(line + "\n" for _, line in lines).encode()
    batches = Batches(max_lines, max_bytes)
    for cut in cuts:
        batches.feed(data[:cut])
        data = data[cut:]
    batches.feed(data)
    batches.end()
    found = popped(batches)
    for name in {name for name, _ in lines}:
        texts = [text for batch in found if batch.measurement == name for text in batch.payload.decode().splitlines()]
        assert texts == [line for each, line in lines if each == name]
    assert all(batch.lines <= max_lines for batch in found)
    assert all(len(batch.payload) <= max_bytes or batch.lines == 1 for batch in found)
    assert (batches.lines, batches.bytes) == (len(lines), sum(len(batch.payload) for batch in found))
    for batch in found:
        batches.settled(batch)
    assert (batches.lines, batches.bytes, batches.refused) == (0, 0, 0)


@given(st.binary(max_size=400))
def test_any_input_is_batched_or_rejected(data: bytes) -> None:
    batches = Batches(10, 1000)
    batches.feed(data)
    batches.end()
    whole = [line for line in data.split(b"\n")[:-1] if line.strip() and not line.startswith(b"#")]
    cut_off = data.split(b"\n")[-1] != b""
    assert batches.lines + batches.refused >= len(whole) + cut_off - data.count(b"\r")
    assert batches.lines + batches.refused <= len(whole) + cut_off


@pytest.mark.parametrize(
    "line", [b"value", b"cpu", b"cpu,host=a", b" cpu value=1", b"cpu value", b"cpu value= 1", b",a=b c=1", b"\xff v=1"]
)
def test_an_invalid_line_is_rejected_with_its_start(line: bytes) -> None:
    batches = Batches(10, 1000)
    batches.feed(line + b"\n")
    assert (batches.lines, batches.refused) == (0, 1)
    assert batches.reason == f"a line is not line protocol: {line!r}"


def test_the_measurement_of_a_line_is_unescaped() -> None:
    assert measurement_of(b"wea\\ ther\\,x,host=a\\ b value=1") == "wea ther,x"


def test_an_endless_line_is_rejected_and_not_buffered() -> None:
    batches = Batches(10, 1000)
    for _ in range(100):
        batches.feed(b"x" * 10_000)
    assert len(batches._rest) == 0
    batches.feed(b"x\ncpu value=1\n")
    batches.end()
    assert [batch.payload for batch in popped(batches)] == [b"cpu value=1\n"]
    assert batches.refused == 1
    assert str(MAX_LINE_BYTES) in batches.reason


def test_a_truncated_line_is_rejected() -> None:
    batches = Batches(10, 1000)
    batches.feed(b"cpu value=1\ncpu value=12")
    batches.end()
    assert [batch.payload for batch in popped(batches)] == [b"cpu value=1\n"]
    assert (batches.refused, "truncated" in batches.reason) == (1, True)
