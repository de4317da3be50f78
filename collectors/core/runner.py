"""Runs one collector: once for Telegraf's ``inputs.exec``, or until the end for ``execd`` plugins."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from collectors.core.api import Collector, Polled, Processor, Streaming, Unavailable, Unwritable, Wait
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, Series, encode
from collectors.core.schema import COLLECTOR

if TYPE_CHECKING:
    from collectors.core.stdio import StdinControl

#: How often a streaming collector or a processor reports on itself, in seconds.
REPORT_SECONDS = 10.0

#: How often a processor emits what is due without any input, in seconds.
TICK_SECONDS = 1.0

#: The same, after a tick that emitted lines: more may follow.
BUSY_TICK_SECONDS = 0.05

#: Reads that follow each other this quickly, in seconds, are worth a pause of as much: what comes meanwhile is read
#: together. Without it, a busy writer that writes each line by itself wakes this process for each.
COALESCE_SECONDS = 0.001


class Runner:
    """One collector with its clocks and its way out, all passed in.

    Args:
        name: the collector's name, the tag of its self-metrics.
        collector: polled, streaming or transforming.
        report: counts and says what fails.
        write: takes whole lines of line protocol, for stdout or a spool.
        clock_ns: wall clock, nanoseconds since 1970.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        collector: Collector,
        report: ErrorReporter,
        write: Callable[[bytes], None],
        clock_ns: Callable[[], int],
        timer: Callable[[], float],
    ) -> None:
        self._collector = collector
        self._report = report
        self._write = write
        self._clock_ns = clock_ns
        self._timer = timer
        self._name = name

    def once(self, requests: StdinControl) -> int:
        """One batch (of a streaming collector: all it has, until a signal); the exit status."""
        if isinstance(self._collector, Polled):
            return 0 if self._batch(self._collector) else 1
        return self._any(requests)

    def serve(self, requests: StdinControl) -> int:
        """A batch for each request, or events as they happen, until there are no more; the exit status."""
        if isinstance(self._collector, Polled):
            while requests.next():
                self._batch(self._collector)
            return 0
        return self._any(requests)

    def _any(self, requests: StdinControl) -> int:
        return self.transform(requests.read) if isinstance(self._collector, Processor) else self.follow(requests.wait)

    def _batch(self, collector: Polled) -> bool:
        start = self._timer()
        lines: list[str] = []
        up = True
        try:
            for metric in collector.collect():
                self._add(metric, lines)
        except Exception as error:  # noqa: BLE001 - whatever one batch meets, the next is tried, and the failure is counted
            self._report.error(_sentence(error))
            up = False
        self._emit(lines, up=up, samples=len(lines), duration=self._timer() - start)
        return up

    def follow(self, wait: Wait) -> int:
        """Emit a streaming collector's events until its source ends or it is time to stop; the exit status."""
        assert isinstance(self._collector, Streaming)
        due = self._timer()
        samples = 0
        up = True
        try:
            for batch in self._collector.stream(wait):
                lines: list[str] = []
                for metric in batch:
                    self._add(metric, lines)
                samples += len(lines)
                if self._timer() >= due:
                    due = self._timer() + REPORT_SECONDS
                    self._emit(lines, up=True, samples=samples)
                    samples = 0
                elif lines:
                    self._write(_bytes(lines))
        except (BrokenPipeError, Unwritable):
            raise
        except Exception as error:  # noqa: BLE001 - the source is lost as a whole: say so, and let Telegraf start it again
            self._report.error(_sentence(error))
            up = False
        self._emit([], up=up, samples=samples)
        return 0 if up else 1

    def transform(self, read: Callable[[float], bytes | None], pause: Callable[[float], object] = time.sleep) -> int:
        """Pass what is read through a transforming collector until there is no more; the exit status.

        Args:
            read: see :meth:`StdinControl.read`.
            pause: waits so many seconds.
        """
        collector = self._collector
        assert isinstance(collector, Processor)
        due = self._timer() + TICK_SECONDS
        report = self._timer() + REPORT_SECONDS
        samples = 0
        now = before = self._timer()
        while (data := read(max(0.0, due - self._timer()))) != b"":
            if data is not None:
                written, count = collector.process(data)
                samples += count
                if written:
                    # At once: a live view is as fresh as this.
                    self._write(written)
            before, now = now, self._timer()
            if data is not None and now - before < COALESCE_SECONDS:
                pause(COALESCE_SECONDS)
            if now >= due:
                due = now + TICK_SECONDS
                written, count = collector.tick()
                if written:
                    due = now + BUSY_TICK_SECONDS  # there may be more, in pieces that hold no line up
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

    def _add(self, metric: Metric, lines: list[str]) -> None:
        if metric.time_ns is None:
            metric = Metric(metric.series, metric.fields, self._clock_ns())
        line = encode(metric, self._report.error)
        if line:
            lines.append(line)

    def _emit(self, lines: list[str], *, up: bool, samples: int, duration: float | None = None) -> None:
        """Write the lines with the collector's self-metric behind them."""
        self._write(_bytes(lines) + self._self_metric(up=up, samples=samples, duration=duration))

    def _self_metric(self, *, up: bool, samples: int, duration: float | None = None) -> bytes:
        """The collector's self-metric."""
        fields: dict[str, float | int | bool | str] = {
            "samples": samples,
            "errors": self._report.take(),
            "up": int(up),
        }
        if duration is not None:
            fields["duration_seconds"] = duration
        tags = self._collector.tags if isinstance(self._collector, Processor) else {}
        series = Series(COLLECTOR.name, {**tags, "collector": self._name})
        return _bytes([encode(Metric(series, fields, self._clock_ns()))])


def _bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _sentence(error: Exception) -> str:
    """An exception in words; its kind goes along where the words alone would not say what happened."""
    if isinstance(error, (Unavailable, ValueError)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"
