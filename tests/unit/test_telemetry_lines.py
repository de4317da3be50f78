"""Whole lines out of pieces, the limits' file, the runner of what transforms, and the program itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.core.api import Processor
from collectors.core.cli import SIGNALLED
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, Series, encode
from collectors.core.line_protocol_parser import decode_lines
from collectors.core.runner import REPORT_SECONDS, TICK_SECONDS, Runner
from collectors.core.stdio import StdinControl
from collectors.telemetry.limits import NEVER, LimitsError, LimitTable, read
from collectors.telemetry.lines import Lines
from tests.golden import ROOT

# --- lines ------------------------------------------------------------------------------------------

_STRING = 'log,host=a\\ b message="first, \\"quoted\\" line\nsecond=\\\\" 17'
_ODD_NAME = 'room,note=5"disk,size=7" value=1 17'


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(
    st.lists(st.sampled_from(["a b=1 1", _STRING, _ODD_NAME, 'm,t=ä s="\U0001f321" 3', 'q "k=1,s="x\ny"'])),
    st.lists(st.integers(0, 300)),
)
def test_lines_are_whole_wherever_the_reads_cut_them(wanted: list[str], cuts: list[int]) -> None:
    lines = Lines(10_000)
    data = "".join(f"{line}\n" for line in wanted).encode()
    found = [line for piece in _pieces(data, cuts) for line in lines.feed(piece)]
    assert found + lines.end() == wanted


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_no_byte_of_any_input_is_lost(data: bytes, cuts: list[int]) -> None:
    lines = Lines(10_000)
    found = [line for piece in _pieces(data, cuts) for line in lines.feed(piece)] + lines.end()
    kept = "".join(found).encode("utf-8", "surrogateescape").replace(b"\n", b"")
    assert kept == data.replace(b"\n", b"")


def test_the_last_line_may_lack_its_end() -> None:
    lines = Lines(100)
    assert lines.feed(b"a b=1 1\r\nc d=2") == ["a b=1 1\r"]
    assert lines.end() == ["c d=2"]
    assert lines.end() == []


def test_a_line_that_is_too_long_is_counted_and_those_behind_it_are_taken() -> None:
    lines = Lines(100)
    assert [line for _ in range(5) for line in lines.feed(b"x" * 60)] == []
    assert lines.feed(b"x\na b=1 1\n") == ["a b=1 1"]
    assert lines.too_long == 1


def test_a_string_that_is_never_closed_takes_no_more_with_it_than_its_line() -> None:
    lines = Lines(200)
    found = lines.feed(b'broken text="open 1\n')
    for number in range(40):
        found += lines.feed(b"a b=%d 1\n" % number)
    found += lines.end()
    assert found == ['broken text="open 1', *(f"a b={number} 1" for number in range(40))]
    assert lines.too_long == 0


@pytest.mark.parametrize(
    ("text", "plain"), [("a b=1 1", True), ('a b="x" 1', False), ("a b=+1 1", False), ("ä b=1", False)]
)
def test_plain_lines_are_recognised(text: str, plain: bool) -> None:
    lines = Lines(100)
    lines.feed(f"{text}\n".encode())
    assert lines.plain is plain


# --- limits -----------------------------------------------------------------------------------------


def test_the_file_s_word_goes_over_the_defaults_and_the_device_s_over_the_sensor_s() -> None:
    text = """
    [environment.temperature_raw_celsius]
    high = 60
    agree = 5
    [environment.temperature_raw_celsius.sensor.ds18b20]
    high = 90
    stuck_after = 9
    [environment.temperature_raw_celsius.device.kiln]
    high = 120
    stuck_after = 0
    """
    limit_table = LimitTable((), read(text, "limits.toml"))
    assert limit_table.get("environment", "temperature_raw_celsius", None, "pi").high == 60
    assert limit_table.get("environment", "temperature_raw_celsius", "ds18b20", "pi")[2:] == (90, 5.0, 1.0, 5, 9, ())
    kiln = limit_table.get("environment", "temperature_raw_celsius", "ds18b20", "kiln")
    assert (kiln.low, kiln.high, kiln.stuck_after) == (-40, 120, NEVER)


def test_an_undeclared_measurement_has_only_the_limits_in_the_file() -> None:
    limit_table = LimitTable((), read("[room.noise]\nhigh = 120", "limits.toml"))
    assert limit_table.get("room", "noise", None, "pi").high == 120
    assert not limit_table.get("room", "other", None, "pi").watched


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a =", "limits.toml is not valid TOML: Invalid value"),
        ("environment = 5", r"limits.toml, \[environment\]: expected tables"),
        ("[a.b]\nhihg = 5", r"limits.toml, \[a.b\]: unknown key 'hihg'; there are low, high"),
        ("[a.b]\nhigh = 'x'", r"limits.toml, \[a.b\]: high is 'x'; it must be a finite number"),
        ("[a.b]\nhigh = nan", "high is nan; it must be a finite number"),
        ("[a.b]\nlow = 5\nhigh = 4", "low is 5 and high 4, so that nothing is left"),
        ("[a.b]\nlow = 5\n[a.b.device.pi]\nhigh = 4", r"\[a.b\] device 'pi': low is 5 and high 4"),
        ("[a.b]\nagree = 0", "agree is 0; it must be a whole number of at least 1"),
        ("[a.b]\nstuck_after = 1", "stuck_after is 1, which would refuse every reading"),
        ("[a.b]\nstep = -1", "step is -1; it must be at least 0"),
        ("[a.b.sensor]\nx = 1", r"\[a.b\] sensor: expected tables"),
    ],
)
def test_an_invalid_limits_file_is_reported_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(LimitsError, match=sentence):
        read(text, "limits.toml")


# --- the runner -------------------------------------------------------------------------------------


class Upper:
    """Convert letters to upper case; record the ticks and the end."""

    def __init__(self) -> None:
        self.tags = {"host": "hub"}
        self.up = True
        self.calls: list[str] = []

    def process(self, data: bytes, /) -> tuple[bytes, int]:
        self.calls.append("feed")
        return data.upper(), data.count(b"\n")

    def tick(self) -> tuple[bytes, int]:
        self.calls.append("due")
        return b"DUE A=1 1\n", 1

    def flush(self) -> Iterator[tuple[bytes, int]]:
        self.calls.append("end")
        yield b"END A=1 1\n", 1

    def close(self) -> None:
        """Nothing is open."""


def test_what_transforms_is_known_as_such() -> None:
    assert isinstance(Upper(), Processor)


def test_lines_pass_at_once_and_ticks_run_every_second_and_at_the_end() -> None:
    written: list[bytes] = []
    seconds = 100.0
    pauses: list[float] = []
    upper = Upper()

    def read_next(pause: float) -> bytes | None:
        nonlocal seconds
        pauses.append(pause)
        if len(pauses) == 1:
            return b"a b=1 1\n"
        if len(pauses) == 2:
            assert written == [b"A B=1 1\n"], "it was written before more was read"
        if seconds > 100 + REPORT_SECONDS:
            return b""
        seconds += pause
        return None

    runner = Runner("room", upper, ErrorReporter("room", print), written.append, lambda: 42, lambda: seconds)
    assert runner.run_processor(read_next) == 0
    assert max(pauses) <= TICK_SECONDS
    lines = list(decode_lines(b"".join(written).decode()))
    reports = [metric for metric in lines if metric.series.measurement == "collector"]
    assert [dict(report.series.tags) for report in reports] == [{"collector": "room", "host": "hub"}] * 2
    assert sum(int(report.fields["samples"]) for report in reports) == len(lines) - 2
    assert upper.calls[-1] == "end"
    assert upper.calls.count("due") >= 10


@pytest.fixture
def requests_of() -> Iterator[Callable[[], tuple[StdinControl, int]]]:
    before = {which: signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)}
    wakeup = signal.set_wakeup_fd(-1)
    opened: list[int] = []

    def make() -> tuple[StdinControl, int]:
        reading, writing = os.pipe()
        opened.append(reading)
        return StdinControl(reading), writing

    yield make
    signal.set_wakeup_fd(wakeup)
    for which, handler in before.items():
        signal.signal(which, handler)
    for descriptor in opened:
        os.close(descriptor)


def test_reading_ends_with_the_input(requests_of: Any) -> None:
    requests, writing = requests_of()
    assert requests.read(0) is None
    os.write(writing, b"a\nb")
    assert requests.read(60) == b"a\nb"
    os.close(writing)
    assert requests.read(60) == b""
    assert requests.read(60) == b""


def test_after_a_signal_pending_lines_are_still_read(requests_of: Any) -> None:
    requests, writing = requests_of()
    os.write(writing, b"a\n")
    signal.raise_signal(signal.SIGTERM)
    taken: list[bytes] = []
    while (data := requests.read(60)) != b"":
        taken += [data] if data else []
    assert taken == [b"a\n"]
    os.close(writing)


# --- the program ------------------------------------------------------------------------------------


#: The processor, which reports about itself at the end alone, however long a busy machine takes.
_QUIET = (
    "import sys; from collectors.core import runner; runner.REPORT_SECONDS = 3600.0; "
    "from collectors.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


def _program(*arguments: str) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    return subprocess.Popen(
        [sys.executable, "-c", _QUIET, "telemetry", "--calibrations", "/no/such/folder", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**environment, "SENSETIG_SETTINGS": os.devnull, "SENSETIG_TELEMETRY_STATE": "none"},
    )


def _line(number: int) -> bytes:
    series = Series("environment", {"device": "pi", "sensor": "hts221"})
    time_ns = 1_700_000_000_000_000_000 + number
    return f"{encode(Metric(series, {'temperature_raw_celsius': 20.5}, time_ns))}\n".encode()


def test_a_line_is_out_before_the_next_is_in() -> None:
    with _program("--execd") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(5):
            process.stdin.write(_line(number))
            process.stdin.flush()
            assert process.stdout.readline() == _line(number)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0
        assert (out.count(b"collector,collector=telemetry"), err) == (1, b"")


@pytest.mark.parametrize("ending", ["end of input", "SIGTERM"])
def test_everything_that_was_taken_is_written_before_it_ends(ending: str) -> None:
    with _program("--execd") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(_line(0))
        process.stdin.flush()
        assert process.stdout.readline() == _line(0)
        lines = [_line(number) for number in range(1, 300)]
        process.stdin.write(b"".join(lines)[:-1])
        process.stdin.flush()
        if ending == "SIGTERM":
            # Its input stays open until it has ended by itself; another process might take over.
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            out, err = process.stdout.read(), process.stderr.read()
        else:
            out, err = process.communicate(timeout=120)
        assert process.wait(120) == (SIGNALLED if ending == "SIGTERM" else 0)
        assert out.splitlines(keepends=True)[:-1] == lines
        assert err == b""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--limits", "/no/such/file"], b"/no/such/file: the limits cannot be read"),
        (["--earliest", "yesterday"], b"earliest is 'yesterday'; it must be a day such as 2010-01-01"),
        (["--most-series", "0"], b"--most-series is '0'; it must be a whole number of at least 2"),
    ],
)
def test_an_invalid_setting_is_reported_in_one_sentence(arguments: list[str], sentence: bytes) -> None:
    with _program(*arguments) as process:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 2
        assert err.startswith(b"E! telemetry: " + sentence)
        assert (err.count(b"\n"), out) == (1, b"")
