"""Runs one collector: once for Telegraf's ``inputs.exec``, or on and on for ``inputs.execd`` and ``processors.execd``.

A collector is polled (``collect`` gives one batch), streaming (``stream`` gives batches as events happen) or
transforming (``feed`` takes lines of line protocol and gives lines back).
"No data" is an empty batch; a reading that failed is told to the :class:`~collectors.report.Report`; an
exception means that the whole batch failed, and is counted with ``up=0``.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from collectors.metric import Metric, Series, encode
from collectors.report import Report
from collectors.schema import COLLECTOR, Measurement
from collectors.settings import Setting, Values

#: How often a streaming or transforming collector reports on itself, in seconds.
REPORT_SECONDS = 10.0

#: How often a transforming collector is asked for what is due without any input, in seconds.
DUE_SECONDS = 1.0

#: As much as is read from standard input at once: what a pipe holds.
_CHUNK_BYTES = 64 * 1024


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

    def feed(self, data: bytes, /) -> tuple[bytes, int]:
        """The lines that come out of what came in, at once. *data* may end anywhere, within a line, too."""
        ...

    def due(self) -> tuple[bytes, int]:
        """What is to be told without any input; asked for about once a second."""
        ...

    def end(self) -> tuple[bytes, int]:
        """The rest of what came in, once there is no more, and all that was not told yet."""
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


class Requests:
    """What Telegraf asks for: lines on standard input, ended by its end or by SIGTERM or SIGINT.

    Args:
        stdin: the descriptor of standard input, or None to heed the signals alone.
    """

    def __init__(self, stdin: int | None) -> None:
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._stdin: int | None = None
        if stdin is not None:
            self.listen(stdin)
        self._poll.register(self._wake_read, select.POLLIN)
        self._pending = 0
        self.stopped = False
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def listen(self, stdin: int) -> None:
        """Heed this descriptor as standard input, beside the signals."""
        self._stdin = stdin
        self._poll.register(stdin, select.POLLIN | select.POLLHUP)

    def _stop(self, *_: object) -> None:
        self._pending = 0
        self.stopped = True

    def _read(self, timeout: float | None, other: int | None = None) -> None:
        for descriptor, _ in self._poll.poll(None if timeout is None else timeout * 1000):
            if descriptor == other:
                continue  # to be read by whoever waits for it
            if descriptor == self._wake_read:
                os.read(self._wake_read, 512)
            elif received := os.read(descriptor, 4096):
                if not self.stopped:
                    self._pending += received.count(b"\n")
            else:
                self._poll.unregister(descriptor)
                self.stopped = True

    def next(self) -> bool:
        """Wait for the next line; False after a signal, or once every line is answered and the input has ended."""
        while not self._pending and not self.stopped:
            self._read(None)
        if not self._pending:
            return False
        self._pending -= 1
        return True

    def read(self, seconds: float) -> bytes | None:
        """Whatever standard input has, as it comes; None once that long nothing came, empty when there is no more.

        After a signal, what has been written already is still given; only for more it does not wait.
        """
        if self._stdin is None:
            return b""
        ready = [descriptor for descriptor, _ in self._poll.poll(0 if self.stopped else seconds * 1000)]
        if self._wake_read in ready:
            os.read(self._wake_read, 512)
        if self._stdin in ready:
            data = os.read(self._stdin, _CHUNK_BYTES)
            if not data:
                self._poll.unregister(self._stdin)
                self._stdin = None
            return data
        return b"" if self.stopped and not ready else None

    def wait(self, seconds: float, descriptor: int | None = None, /) -> bool:
        """Pause; True as soon as it is time to stop. Lines that come meanwhile are not answered.

        Args:
            descriptor: ends the pause, too, once it can be read; it is left unread.
        """
        if not self.stopped:
            if descriptor is not None:
                self._poll.register(descriptor, select.POLLIN)
            self._read(seconds, descriptor)
            if descriptor is not None:
                self._poll.unregister(descriptor)
        self._pending = 0
        return self.stopped


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
        tags = collector.tags if isinstance(collector, Transforming) else {}
        self._series = Series(COLLECTOR.name, {**tags, "collector": name})

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

    def transform(self, read: Callable[[float], bytes | None]) -> int:
        """Pass what is read through a transforming collector until there is no more; the exit status.

        Args:
            read: see :meth:`Requests.read`.
        """
        collector = self._collector
        assert isinstance(collector, Transforming)
        due = self._timer() + DUE_SECONDS
        report = self._timer() + REPORT_SECONDS
        samples = 0
        while (data := read(max(0.0, due - self._timer()))) != b"":
            if data is not None:
                written, count = collector.feed(data)
                samples += count
                if written:
                    # At once: a live view is as fresh as this.
                    self._write(written)
            now = self._timer()
            if now >= due:
                due = now + DUE_SECONDS
                written, count = collector.due()
                samples += count
                if now >= report:
                    report = now + REPORT_SECONDS
                    written += self._about(up=True, samples=samples)
                    samples = 0
                if written:
                    self._write(written)
        written, count = collector.end()
        self._write(written + self._about(up=True, samples=samples + count))
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
        return _bytes([encode(Metric(self._series, fields, self._clock_ns()))])


def _bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _sentence(error: Exception) -> str:
    """An exception in words; its kind goes along where the words alone would not say what happened."""
    if isinstance(error, (Unavailable, ValueError)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"
