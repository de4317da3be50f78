"""Runs one collector: one batch for Telegraf's ``inputs.exec``, or until its input ends for ``execd`` plugins."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from collectors.core.api import PAUSE, Collector, Polled, Processor, Streaming, Unavailable, Unwritable, Wait
from collectors.core.batch import Distinct
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import FieldValue, Metric, Series, encode
from collectors.core.schema import COLLECTOR

if TYPE_CHECKING:
    from collectors.core.stdio import StdinControl
    from collectors.core.watchdog import Watchdog

#: Seconds between self-metrics of a streaming collector or a processor.
REPORT_SECONDS = 10.0

#: Seconds between ticks of a processor, which emit lines that are due without any input.
TICK_SECONDS = 1.0

#: The same after a tick that emitted lines, because more may follow.
BUSY_TICK_SECONDS = 0.05

#: If reads follow each other within this time, in seconds, the processor sleeps as long and reads the rest together.
#: Otherwise a busy writer that writes line by line wakes this process for each line.
COALESCE_SECONDS = 0.001

#: Maximum length of the reason in the self-metric, in characters.
MAX_REASON = 1000


class Runner:
    """Runs a collector on the given clocks and output.

    Args:
        name: the collector's name, the tag of its self-metrics.
        collector: polled, streaming or a processor.
        report: counts and logs errors.
        write: receives whole lines of line protocol, for stdout or a spool.
        clock_ns: wall clock, nanoseconds since 1970.
        timer: monotonic seconds.
        watchdog: is informed when the collector starts and ends work, or None.
    """

    def __init__(
        self,
        name: str,
        collector: Collector,
        report: ErrorReporter,
        write: Callable[[bytes], None],
        clock_ns: Callable[[], int],
        timer: Callable[[], float],
        watchdog: Watchdog | None = None,
    ) -> None:
        self._watchdog = watchdog
        self._collector = collector
        self._report = report
        self._write = write
        self._clock_ns = clock_ns
        self._timer = timer
        self._name = name
        self._distinct = Distinct(report.error)
        #: The reason why the last failed batch did; empty before that.
        self.reason = ""

    def once(self, requests: StdinControl) -> int:
        """Run one batch, or a streaming collector until a signal; return the exit status."""
        if isinstance(self._collector, Polled):
            return 0 if self._batch(self._collector) else 1
        return self._run(requests)

    def serve(self, requests: StdinControl) -> int:
        """Run a batch for each request, or emit events as they happen, until the end; return the exit status."""
        if isinstance(self._collector, Polled):
            while requests.next():
                self._batch(self._collector)
            return 0
        return self._run(requests)

    def _run(self, requests: StdinControl) -> int:
        if isinstance(self._collector, Processor):
            return self.run_processor(requests.read)
        return self.run_streaming(requests.wait)

    def _batch(self, collector: Polled) -> bool:
        start = self._timer()
        lines: list[str] = []
        samples = 0
        reason = ""
        self._distinct.clear()
        self._busy()
        try:
            for metric in collector.collect():
                if metric is not PAUSE:
                    self._add(metric, lines)
                elif lines:
                    self._idle()
                    self._write(_bytes(lines))
                    samples += len(lines)
                    lines.clear()
                    self._busy()
        except (BrokenPipeError, Unwritable):
            raise
        except Exception as error:  # noqa: BLE001 - a failed batch is counted, and the next one runs
            reason = self._failed(error)
        self._idle()
        self._emit(lines, reason=reason, samples=samples + len(lines), duration=self._timer() - start)
        return not reason

    def run_streaming(self, wait: Wait) -> int:
        """Emit the events of a streaming collector until its source ends or on shutdown; return the exit status."""
        assert isinstance(self._collector, Streaming)
        due = self._timer()
        samples = 0
        reason = ""

        def waiting(seconds: float, descriptor: int | None = None, /) -> bool:
            self._idle()
            try:
                return wait(seconds, descriptor)
            finally:
                self._busy()

        self._busy()
        try:
            for batch in self._collector.stream(waiting):
                lines: list[str] = []
                self._distinct.clear()
                for metric in batch:
                    self._add(metric, lines)
                samples += len(lines)
                self._idle()
                if self._timer() >= due:
                    due = self._timer() + REPORT_SECONDS
                    self._emit(lines, samples=samples)
                    samples = 0
                elif lines:
                    self._write(_bytes(lines))
                self._busy()
        except (BrokenPipeError, Unwritable):
            raise
        except Exception as error:  # noqa: BLE001 - the source has failed: report it, and let the caller try again
            reason = self._failed(error)
        self._idle()
        self._emit([], reason=reason, samples=samples)
        return 1 if reason else 0

    def run_processor(
        self, read: Callable[[float], bytes | None], sleep: Callable[[float], object] = time.sleep
    ) -> int:
        """Pass the input through a processor until it ends; return the exit status.

        Args:
            read: see :meth:`StdinControl.read`.
            sleep: sleeps for a number of seconds.
        """
        collector = self._collector
        assert isinstance(collector, Processor)
        due = self._timer() + TICK_SECONDS
        report = self._timer() + REPORT_SECONDS
        samples = 0
        now = before = self._timer()
        while (data := read(max(0.0, due - self._timer()))) != b"":
            if data is not None:
                self._busy()
                written, count = collector.process(data)
                self._idle()
                samples += count
                if written:
                    # Immediately, for live views.
                    self._write(written)
            before, now = now, self._timer()
            if data is not None and now - before < COALESCE_SECONDS:
                sleep(COALESCE_SECONDS)
            if now >= due:
                due = now + TICK_SECONDS
                self._busy()
                written, count = collector.tick()
                self._idle()
                if written:
                    due = now + BUSY_TICK_SECONDS  # more may follow, in parts small enough not to delay a line
                samples += count
                if now >= report:
                    report = now + REPORT_SECONDS
                    written += self._self_metric(up=collector.up, samples=samples)
                    samples = 0
                if written:
                    self._write(written)
        for written, count in collector.flush():
            samples += count
            self._write(written)
        self._write(self._self_metric(up=collector.up, samples=samples))
        return 0

    def hung(self) -> bytes:
        """The self-metric of a hung collector, for the watchdog."""
        return self._self_metric(up=False, samples=0, hangs=1)

    def _busy(self) -> None:
        if self._watchdog is not None:
            self._watchdog.busy()

    def _idle(self) -> None:
        if self._watchdog is not None:
            self._watchdog.idle()

    def _add(self, metric: Metric, lines: list[str]) -> None:
        if metric.time_ns is None:
            metric = Metric(metric.series, metric.fields, self._clock_ns())
        line = encode(metric, self._report.error)
        if line and self._distinct.admits(metric):
            lines.append(line)

    def _failed(self, error: Exception) -> str:
        """Report an error that ended a batch; return the reason."""
        self.reason = sentence(error)
        self._report.error(self.reason)
        return self.reason

    def _emit(self, lines: list[str], *, samples: int, reason: str = "", duration: float | None = None) -> None:
        """Write the lines, followed by the collector's self-metric."""
        self._write(_bytes(lines) + self._self_metric(up=not reason, samples=samples, reason=reason, duration=duration))

    def _self_metric(
        self, *, up: bool, samples: int, reason: str = "", duration: float | None = None, hangs: int = 0
    ) -> bytes:
        """The collector's self-metric."""
        tags = self._collector.tags if isinstance(self._collector, Processor) else {}
        fields: dict[str, FieldValue] = {"samples": samples, "errors": self._report.take(), "up": int(up)}
        if reason:
            fields["reason"] = reason[:MAX_REASON]
        if duration is not None:
            fields["duration_seconds"] = duration
        if hangs:
            fields["hangs"] = hangs
        return self_metric(self._name, fields, self._clock_ns(), tags)


def self_metric(
    name: str, fields: Mapping[str, FieldValue], time_ns: int, tags: Mapping[str, str] | None = None
) -> bytes:
    """A collector's self-metric in line protocol."""
    series = Series(COLLECTOR.name, {**(tags or {}), "collector": name})
    return _bytes([encode(Metric(series, fields, time_ns))])


def down(name: str, report: ErrorReporter, reason: str, time_ns: int) -> bytes:
    """Count and log the reason why a collector cannot start; return its self-metric."""
    report.error(reason)
    return self_metric(name, {"samples": 0, "errors": report.take(), "up": 0, "reason": reason[:MAX_REASON]}, time_ns)


def _bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def sentence(error: Exception) -> str:
    """The message of an exception, with its type unless the message is a full sentence."""
    if isinstance(error, (Unavailable, ValueError)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"
