"""Running a collector: once, on request, or as events happen."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from collectors.core.api import PAUSE, Collector, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, Series
from collectors.core.line_protocol_parser import decode_lines
from collectors.core.runner import REPORT_SECONDS, Runner
from collectors.core.schema import COLLECTOR
from collectors.core.stdio import StdinControl
from tests.schema_check import violations


class Polled:
    """Gives prepared batches; a batch that is an exception is raised."""

    def __init__(self, *batches: Iterable[Metric] | Exception) -> None:
        self.batches = list(batches)

    def collect(self) -> Iterable[Metric]:
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return batch

    def close(self) -> None:
        """Nothing is open."""


class Streaming:
    """Streams prepared batches; one that is an exception is raised."""

    def __init__(self, *batches: Iterable[Metric] | Exception, before: Callable[[], None] = lambda: None) -> None:
        self.batches = batches
        self.before = before

    def stream(self, wait: Callable[[float], bool]) -> Iterator[Iterable[Metric]]:
        for batch in self.batches:
            self.before()
            if isinstance(batch, Exception):
                raise batch
            yield batch
            if wait(0):
                return

    def close(self) -> None:
        """Nothing is open."""


class Stage:
    """A runner with its dependencies: its output, its log, and its clocks."""

    def __init__(self, collector: Collector) -> None:
        self.written = b""
        self.writes = 0
        self.said: list[str] = []
        self.seconds = 100.0
        self.report = ErrorReporter("room", self.said.append)
        self.runner = Runner("room", collector, self.report, self._write, lambda: 42, lambda: self.seconds)

    def _write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1

    @property
    def metrics(self) -> list[Metric]:
        return list(decode_lines(self.written.decode()))

    @property
    def reports(self) -> list[dict[str, Any]]:
        return [dict(metric.fields) for metric in self.metrics if metric.series.measurement == "collector"]


def number(value: float | int, time_ns: int | None = None) -> Metric:
    return Metric(Series("room"), {"number": value}, time_ns)


@pytest.fixture
def requests_of() -> Iterator[Callable[[], tuple[StdinControl, int]]]:
    """StdinControl on a pipe, with the pipe's end for writing; the process's signals are as before afterwards."""
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


# --- batches ----------------------------------------------------------------------------------------


def test_a_batch_is_written_whole_with_the_collector_s_report_behind_it(requests_of: Any) -> None:
    stage = Stage(Polled([number(1, 7), number(2, 8)]))
    assert stage.runner.once(requests_of()[0]) == 0
    assert [metric.series.measurement for metric in stage.metrics] == ["room", "room", "collector"]
    assert stage.writes == 1
    assert stage.reports == [{"samples": 2, "errors": 0, "up": 1, "duration_seconds": 0.0}]
    assert list(violations(stage.metrics[-1], (COLLECTOR,))) == []


def test_a_metric_without_a_time_gets_the_clock_s(requests_of: Any) -> None:
    stage = Stage(Polled([number(1), number(2, 8)]))
    stage.runner.once(requests_of()[0])
    assert [metric.time_ns for metric in stage.metrics] == [42, 8, 42]


def test_the_duration_is_the_batch_s_own(requests_of: Any) -> None:
    def slow() -> Iterator[Metric]:
        stage.seconds += 2.5
        yield number(1)

    stage = Stage(Polled(slow()))
    stage.runner.once(requests_of()[0])
    assert stage.reports[0]["duration_seconds"] == 2.5


def test_the_samples_before_a_pause_are_written_while_the_rest_is_read(requests_of: Any) -> None:
    written: list[bytes] = []

    def slow() -> Iterator[Metric]:
        yield number(1, 7)
        yield PAUSE
        written.append(stage.written)
        yield PAUSE  # there is nothing to write
        yield number(2, 8)

    stage = Stage(Polled(slow()))
    assert stage.runner.once(requests_of()[0]) == 0
    assert written == [b"room number=1i 7\n"]
    assert stage.writes == 2
    assert stage.reports == [{"samples": 2, "errors": 0, "up": 1, "duration_seconds": 0.0}]


def test_two_samples_of_one_series_and_time_are_counted_and_the_first_is_kept(requests_of: Any) -> None:
    stage = Stage(Polled([number(1, 7), number(2, 7), number(3, 8)], [number(4, 7)]))
    requests, writing = requests_of()
    os.write(writing, b"\n\n")
    os.close(writing)
    assert stage.runner.serve(requests) == 0
    values = [metric.fields["number"] for metric in stage.metrics if metric.series.measurement == "room"]
    assert values == [1, 3, 4], "each batch for itself"
    assert [(report["samples"], report["errors"]) for report in stage.reports] == [(2, 1), (1, 0)]
    assert stage.said == [
        "E! room: two samples of room have the same time, and InfluxDB keeps one of them: the second is left out"
    ]


def test_two_events_of_one_time_in_a_stream_are_counted() -> None:
    stage = Stage(Streaming([number(1, 7), number(2, 7)], [number(3, 7)]))
    assert stage.runner.run_streaming(lambda *_: False) == 0
    assert sum(report["errors"] for report in stage.reports) == 1


def test_no_data_is_an_empty_batch_and_no_failure(requests_of: Any) -> None:
    stage = Stage(Polled([]))
    assert stage.runner.once(requests_of()[0]) == 0
    assert stage.reports == [{"samples": 0, "errors": 0, "up": 1, "duration_seconds": 0.0}]


def test_a_non_numeric_value_is_left_out_and_counted(requests_of: Any) -> None:
    stage = Stage(Polled([number(float("nan")), number(2)]))
    assert stage.runner.once(requests_of()[0]) == 0
    assert stage.reports[0]["samples"] == 1
    assert stage.reports[0]["errors"] == 1
    assert stage.said == ["E! room: field 'number' of 'room' left out: line protocol cannot carry nan"]


def test_a_failing_batch_keeps_its_samples_and_is_reported_as_down(requests_of: Any) -> None:
    def failing() -> Iterator[Metric]:
        yield number(1)
        raise OSError("the device is gone")

    stage = Stage(Polled(failing()))
    assert stage.runner.once(requests_of()[0]) == 1
    assert stage.reports == [
        {"samples": 1, "errors": 1, "up": 0, "reason": "OSError: the device is gone", "duration_seconds": 0.0}
    ]
    assert stage.said == ["E! room: OSError: the device is gone"]


@pytest.mark.parametrize("error", [Unavailable("plug it in"), ValueError("plug it in")])
def test_an_exception_with_a_sentence_is_logged_unchanged(error: Exception, requests_of: Any) -> None:
    stage = Stage(Polled(error))
    stage.runner.once(requests_of()[0])
    assert stage.said == ["E! room: plug it in"]


# --- requests ---------------------------------------------------------------------------------------


def test_each_line_is_answered_with_a_batch_and_the_end_of_input_ends_it(requests_of: Any) -> None:
    requests, writing = requests_of()
    os.write(writing, b"\n\n\n")
    os.close(writing)
    stage = Stage(Polled([number(1)], ValueError("gone"), [number(3)]))
    assert stage.runner.serve(requests) == 0
    assert [report["up"] for report in stage.reports] == [1, 0, 1]
    assert [report["errors"] for report in stage.reports] == [0, 1, 0]


def test_a_line_without_its_end_is_no_request_yet(requests_of: Any) -> None:
    requests, writing = requests_of()
    os.write(writing, b"gather")
    os.close(writing)
    assert requests.next() is False


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_and_drops_pending_requests(which: signal.Signals, requests_of: Any) -> None:
    requests, writing = requests_of()
    os.write(writing, b"\n\n\n")
    assert requests.next() is True
    signal.raise_signal(which)
    assert requests.next() is False
    assert requests.stopped
    os.close(writing)


def test_a_pause_ends_at_once_when_the_input_ends(requests_of: Any) -> None:
    requests, writing = requests_of()
    assert requests.wait(0) is False
    os.close(writing)
    assert requests.wait(3600) is True


def test_a_pause_ends_when_there_is_something_to_read_elsewhere_and_leaves_it_there(requests_of: Any) -> None:
    requests, writing = requests_of()
    reading, other = os.pipe()
    os.write(other, b"x")
    assert requests.wait(3600, reading) is False
    assert os.read(reading, 2) == b"x"
    assert requests.wait(0, reading) is False
    for descriptor in (writing, reading, other):
        os.close(descriptor)
    assert requests.wait(3600) is True


def test_lines_that_come_during_a_pause_are_not_answered(requests_of: Any) -> None:
    requests, writing = requests_of()
    os.write(writing, b"\n")
    assert requests.wait(3600) is False
    os.close(writing)
    assert requests.next() is False


def test_without_an_input_only_signals_count(requests_of: Any) -> None:
    requests_of()
    requests = StdinControl(None)
    assert requests.wait(0) is False
    signal.raise_signal(signal.SIGTERM)
    assert requests.wait(3600) is True


# --- events -----------------------------------------------------------------------------------------


def test_events_are_written_as_they_happen_and_the_collector_reports_now_and_then() -> None:
    def pass_time() -> None:
        stage.seconds += REPORT_SECONDS / 2

    batches = [[number(each)] for each in range(5)]
    stage = Stage(Streaming(*batches, before=pass_time))
    assert stage.runner.run_streaming(lambda *_: False) == 0
    names = [metric.series.measurement for metric in stage.metrics]
    assert names == ["room", "collector", "room", "room", "collector", "room", "room", "collector", "collector"]
    assert [report["samples"] for report in stage.reports] == [1, 2, 2, 0]
    assert all("duration_seconds" not in report for report in stage.reports)


def test_an_event_is_not_held_back_for_the_report() -> None:
    stage = Stage(Streaming([number(1)], [number(2)]))
    stream = stage.runner
    stream.run_streaming(lambda *_: stage.writes == 2)
    assert stage.writes == 3


def test_a_stream_stops_when_it_is_time() -> None:
    stage = Stage(Streaming([number(1)], [number(2)]))
    assert stage.runner.run_streaming(lambda *_: True) == 0
    assert sum(report["samples"] for report in stage.reports) == 1


def test_a_lost_source_is_logged_and_reported_as_down() -> None:
    stage = Stage(Streaming([number(1)], OSError("unplugged")))
    assert stage.runner.run_streaming(lambda *_: False) == 1
    assert stage.reports[-1] == {"samples": 0, "errors": 1, "up": 0, "reason": "OSError: unplugged"}
    assert stage.said == ["E! room: OSError: unplugged"]


def test_a_reader_that_is_gone_is_not_taken_for_a_lost_source() -> None:
    stage = Stage(Streaming(BrokenPipeError()))
    with pytest.raises(BrokenPipeError):
        stage.runner.run_streaming(lambda *_: False)
