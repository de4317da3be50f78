"""Runs one collector: once for Telegraf's ``inputs.exec``, or on and on for ``inputs.execd`` and ``processors.execd``.

A collector is polled (``collect`` gives one batch), streaming (``stream`` gives batches as events happen) or
transforming (``feed`` takes lines of line protocol and gives lines back).
"No data" is an empty batch; a reading that failed is told to the :class:`~collectors.report.Report`; an
exception means that the whole batch failed, and is counted with ``up=0``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from collectors.metric import Metric, Series, encode
from collectors.report import Report
from collectors.schema import COLLECTOR, Measurement
from collectors.settings import Setting, Values

if TYPE_CHECKING:
    from collectors.requests import Requests

#: How often a streaming or transforming collector reports on itself, in seconds.
REPORT_SECONDS = 10.0

#: How often a transforming collector is asked for what is due without any input, in seconds.
DUE_SECONDS = 1.0

#: The same, once it has told something.
SOON_SECONDS = 0.05

#: Reads that follow each other this quickly, in seconds, are worth a pause of as much: what comes meanwhile is read
#: together. Without it, a busy writer that writes each line by itself wakes this process for each.
GATHER_SECONDS = 0.001


class NotApplicable(Exception):
    """The machine has nothing for this collector to read: nothing at all is emitted, and it is no error."""


class Unwritable(Exception):
    """What the lines are written to takes none any more; the message says what it was, and why."""


class Unavailable(Exception):
    """The collector cannot start; the message says in one sentence why, and what to do."""


class Wait(Protocol):
    """Pauses for so many seconds, and answers True as soon as it is time to stop."""

    def __call__(self, seconds: float, descriptor: int | None = None, /) -> bool:
        """Called with 0 it costs one system call; with a descriptor, the pause ends once that can be read."""
        ...


@runtime_checkable
class Polled(Protocol):
    """A collector that is asked for each batch."""

    def collect(self) -> Iterable[Metric]:
        """One batch of samples, as read now."""
        ...

    def close(self) -> None:
        """Let go of devices and files."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """A collector that emits as events happen."""

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """Batches, some of them empty, until the source ends or ``wait`` says that it is time to stop.

        A batch has been written when the next one is asked for.
        """
        ...

    def close(self) -> None:
        """Let go of devices and files."""
        ...


@runtime_checkable
class Transforming(Protocol):
    """A collector that other collectors' lines go through.

    What it gives is whole lines, each with its line break, and how many they are.
    """

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of its self-metric besides its name: nobody adds the pipeline's to what a processor emits itself."""
        ...

    @property
    def up(self) -> bool:
        """Whether it does what it is for; else it only lets lines through."""
        ...

    def feed(self, data: bytes, /) -> tuple[bytes, int]:
        """The lines that come out of what came in, at once. *data* may end anywhere, within a line, too."""
        ...

    def due(self) -> tuple[bytes, int]:
        """What is to be told without any input; asked for about once a second."""
        ...

    def end(self) -> Iterator[tuple[bytes, int]]:
        """The rest of what came in, once there is no more, and behind it all that was not told yet."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


Collector = Polled | Streaming | Transforming


class Context(NamedTuple):
    """What a collector is made with.

    Args:
        values: its settings.
        report: takes errors that do not stop the batch.
        once: True for a single batch in a fresh process, False for batch after batch.
        host: this machine's name, the default of ``device`` tags.
        clock_ns: wall clock, nanoseconds since 1970.
    """

    values: Values
    report: Report
    once: bool
    host: str
    clock_ns: Callable[[], int]


class Module(Protocol):
    """What every module in this package that is a collector defines.

    The first line of its docstring is its line of help. ``create`` raises :class:`Unavailable` when the
    collector cannot start, and :class:`NotApplicable` where there is nothing for it to read. Libraries
    beyond the standard ones are imported inside ``create``, so that the module can be listed without them.
    """

    MEASUREMENTS: tuple[Measurement, ...]
    SETTINGS: tuple[Setting[Any], ...]

    def create(self, context: Context, /) -> Collector:
        """The collector, ready to run."""
        ...


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
        report: Report,
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

    def once(self, requests: Requests) -> int:
        """One batch (of a streaming collector: all it has, until a signal); the exit status."""
        if isinstance(self._collector, Polled):
            return 0 if self._batch(self._collector) else 1
        return self._any(requests)

    def serve(self, requests: Requests) -> int:
        """A batch for each request, or events as they happen, until there are no more; the exit status."""
        if isinstance(self._collector, Polled):
            while requests.next():
                self._batch(self._collector)
            return 0
        return self._any(requests)

    def _any(self, requests: Requests) -> int:
        return (
            self.transform(requests.read) if isinstance(self._collector, Transforming) else self.follow(requests.wait)
        )

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
            read: see :meth:`Requests.read`.
            pause: waits so many seconds.
        """
        collector = self._collector
        assert isinstance(collector, Transforming)
        due = self._timer() + DUE_SECONDS
        report = self._timer() + REPORT_SECONDS
        samples = 0
        now = before = self._timer()
        while (data := read(max(0.0, due - self._timer()))) != b"":
            if data is not None:
                written, count = collector.feed(data)
                samples += count
                if written:
                    # At once: a live view is as fresh as this.
                    self._write(written)
            before, now = now, self._timer()
            if data is not None and now - before < GATHER_SECONDS:
                pause(GATHER_SECONDS)
            if now >= due:
                due = now + DUE_SECONDS
                written, count = collector.due()
                if written:
                    due = now + SOON_SECONDS  # there may be more, in pieces that hold no line up
                samples += count
                if now >= report:
                    report = now + REPORT_SECONDS
                    written += self._about(up=collector.up, samples=samples)
                    samples = 0
                if written:
                    self._write(written)
        for written, count in collector.end():
            samples += count
            self._write(written)
        self._write(self._about(up=collector.up, samples=samples))
        return 0

    def _add(self, metric: Metric, lines: list[str]) -> None:
        if metric.time_ns is None:
            metric = Metric(metric.series, metric.fields, self._clock_ns())
        line = encode(metric, self._report.error)
        if line:
            lines.append(line)

    def _emit(self, lines: list[str], *, up: bool, samples: int, duration: float | None = None) -> None:
        """Write the lines with the collector's self-metric behind them."""
        self._write(_bytes(lines) + self._about(up=up, samples=samples, duration=duration))

    def _about(self, *, up: bool, samples: int, duration: float | None = None) -> bytes:
        """The collector's self-metric."""
        fields: dict[str, float | int | bool | str] = {
            "samples": samples,
            "errors": self._report.take(),
            "up": int(up),
        }
        if duration is not None:
            fields["duration_seconds"] = duration
        tags = self._collector.tags if isinstance(self._collector, Transforming) else {}
        series = Series(COLLECTOR.name, {**tags, "collector": self._name})
        return _bytes([encode(Metric(series, fields, self._clock_ns()))])


def _bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _sentence(error: Exception) -> str:
    """An exception in words; its kind goes along where the words alone would not say what happened."""
    if isinstance(error, (Unavailable, ValueError)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"
