"""The gateway's loop: messages in, points to InfluxDB, acknowledgements back.

These properties hold by construction, not by timing:

- A message is acknowledged after InfluxDB (or the outbox) has responded for all of its points.
- A redelivered message has the same time, so its points are the same. The data that identifies it is on disk before its
  points are sent.
- Unacknowledged messages are in this process and at the broker, so no buffer is lost with the process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from collectors.core.api import Wait
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, Series
from collectors.core.line_protocol_parser import decode
from collectors.gateway.measurements import MQTT_GATEWAY, MQTT_RECEIPT
from collectors.gateway.source import Incoming, Source, Waiting
from collectors.gateway.writer import Refused, Unreachable
from collectors.telemetry.measurements import REFUSED_BY_INFLUXDB
from collectors.telemetry.messages import message_line

#: Seconds between the gateway's self-metrics.
REPORT_SECONDS = 10.0

#: Maximum number of points and bytes in one request. The outbox accepts 16 MiB.
MAX_LINES, MAX_BYTES = 5_000, 4 * 1024 * 1024

#: Seconds between attempts to write: doubled from the first to the second.
RETRY_SECONDS = (1.0, 30.0)

#: How long messages are collected into one write, in seconds.
_COALESCE_SECONDS = 0.02

#: Interval of device states, and of extending unacknowledged messages at the source, in seconds.
_TICK_SECONDS = 1.0

#: How long device states are collected, in seconds. They are not urgent, and each write wears the hub's card.
STATE_SECONDS = 10.0

#: How long messages are collected while InfluxDB is unreachable, in seconds.
WAITING_SECONDS = 10.0

#: Maximum number of waiting lines of device states; further ones are dropped, and the next flush has the newest again.
_MAX_STATE_LINES = 20_000

#: Maximum number of messages in memory. While InfluxDB is unreachable, each reconnect repeats unacknowledged ones.
_MAX_MESSAGES = 30_000

#: The tag of a point that is printed for live panels. Telegraf's processor and output skip it.
INGEST = "ingest"


class Pipeline(Protocol):
    """Converts messages to points: :class:`collectors.telemetry.pipeline.Pipeline`."""

    def take(self, message: Metric) -> list[str]:
        """Points and rejections of a message."""
        ...

    def flush(self) -> None:
        """Write the data that identifies these messages to disk."""
        ...

    def tick(self) -> None:
        """Reload calibrations."""
        ...

    def close(self) -> None:
        """Close files."""
        ...


class Stages(NamedTuple):
    """The processing of messages.

    Args:
        pipeline: converts them to points.
        states: returns due lines of device states.
        end: returns the last of these, once.
        reject: a line of ``telemetry_rejected``: reason, time, text.
        tags: tags of messages: ``host`` and ``site`` of the gateway.
    """

    pipeline: Pipeline
    states: Callable[[], list[str]]
    end: Callable[[], list[str]]
    reject: Callable[[str, int, str], str]
    tags: Mapping[str, str]


class Held(NamedTuple):
    """A message whose points are not stored yet."""

    message: Incoming
    lines: list[str]


class Gateway:
    """The collector.

    Args:
        source: receives the messages.
        stages: processes them.
        write: stores points, and returns permanently rejected ones. Raises Unreachable.
        close: closes the connection for writing.
        waits: whether the points of the last write wait in the outbox, where each write is a file.
        flush_seconds: how long messages are collected before a write.
        live: print points as they arrive.
        report: receives errors.
        clock_ns: wall clock, nanoseconds since 1970.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        source: Source,
        stages: Stages,
        write: Callable[[Sequence[str]], list[Refused]],
        close: Callable[[], None],
        waits: Callable[[], bool],
        *,
        flush_seconds: float,
        live: bool,
        report: ErrorReporter,
        clock_ns: Callable[[], int],
        timer: Callable[[], float],
    ) -> None:
        self._source = source
        self._stages = stages
        self._write = write
        self._close = close
        self._waits = waits
        self._flush_seconds = flush_seconds
        self._live = live
        self._report = report
        self._clock_ns = clock_ns
        self._timer = timer
        self._held: list[Held] = []
        self._count = 0
        self._state_lines: list[str] = []
        self._received = 0
        self._retry_seconds = 0.0
        self._flush_at = math.inf

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """Yield the gateway's reports, and live points."""
        self._source.start()
        tick_at = report_at = self._timer()
        while True:
            now = self._timer()
            if now >= tick_at:
                tick_at = now + _TICK_SECONDS
                self._tick()
            if now >= report_at:
                report_at = now + REPORT_SECONDS
                yield self._reports()
            if now >= self._flush_at or (self._count >= MAX_LINES and not self._retry_seconds):
                self._flush_at = math.inf if self.flush() else self._timer() + self._retry_seconds
            stopped = wait(max(0.0, min(self._flush_at, tick_at, report_at) - self._timer()), self._source.descriptor)
            if not stopped and self._timer() < min(self._flush_at, tick_at):
                stopped = wait(_COALESCE_SECONDS)
            live = self._take()
            if live:
                yield live
            if stopped:
                self.flush()
                self._state_lines += self._stages.end()
                self.flush()
                yield self._reports()
                return

    def close(self) -> None:
        """Disconnect, and close files."""
        self._source.close()
        self._stages.end()
        self._stages.pipeline.close()
        self._close()

    def flush(self) -> bool:
        """Write and acknowledge pending messages; False to retry."""
        self._stages.pipeline.flush()
        try:
            while self._held or self._state_lines:
                self._flush_some()
        except Unreachable as error:
            if not self._retry_seconds:  # once per outage; its length is in mqtt_gateway
                self._report.error(str(error))
            self._retry_seconds = min(self._retry_seconds * 2 or RETRY_SECONDS[0], RETRY_SECONDS[1])
            return False
        self._retry_seconds = 0.0
        return True

    def _flush_some(self) -> None:
        """Write one request. A message is never split, so that it can be acknowledged after one request."""
        lines = self._state_lines[:MAX_LINES]
        states = len(lines)
        messages = size = 0
        for held in self._held:
            more = sum(map(len, held.lines))
            if messages and (len(lines) + len(held.lines) > MAX_LINES or size + more > MAX_BYTES):
                break
            lines += held.lines
            messages += 1
            size += more
        if lines:
            refused = self._write(lines)
            if refused:
                self._refuse(refused)
        done, self._held = self._held[:messages], self._held[messages:]
        self._state_lines = self._state_lines[states:]
        self._count -= sum(len(held.lines) for held in done)
        self._source.acknowledge([held.message for held in done])
        self._received += len(done)

    def _refuse(self, refused: Sequence[Refused]) -> None:
        lines = []
        for line, reason in refused:
            head, _, stamp = line.rpartition(" ")
            self._report.error(f"InfluxDB refuses a point of {head.partition(' ')[0][:100]!r}: {reason}")
            time_ns = int(stamp) if stamp.isdigit() else self._clock_ns()
            lines.append(self._stages.reject(REFUSED_BY_INFLUXDB, time_ns, f"{head[:80]}: {reason}"))
        # If one of these is rejected, too, it is dropped and counted as an error.
        self._write(lines)

    def _take(self) -> list[Metric]:
        live: list[Metric] = []
        for message in self._source.take():
            line = message_line(message.topic, message.payload, message.time_ns, self._stages.tags, message.delivery)
            lines = self._stages.pipeline.take(line)
            self._held.append(Held(message, lines))
            self._count += len(lines)
            if self._live:
                live += map(_live, lines)
        if self._held:
            self._flush_within(max(self._flush_seconds, WAITING_SECONDS) if self._waits() else self._flush_seconds)
        if len(self._held) > _MAX_MESSAGES:
            dropped, self._held = self._held[:-_MAX_MESSAGES], self._held[-_MAX_MESSAGES:]
            self._count -= sum(len(held.lines) for held in dropped)
        return live

    def _tick(self) -> None:
        self._stages.pipeline.tick()
        self._state_lines += self._stages.states()
        if len(self._state_lines) > _MAX_STATE_LINES:
            del self._state_lines[:-_MAX_STATE_LINES]
        if self._state_lines:
            self._flush_within(STATE_SECONDS)
        self._source.hold([held.message for held in self._held])
        for sentence in self._source.errors():
            self._report.error(sentence)

    def _flush_within(self, seconds: float) -> None:
        """Write within this time; while writes fail, the retry interval applies."""
        if not self._retry_seconds:
            self._flush_at = min(self._flush_at, self._timer() + seconds)

    def _reports(self) -> list[Metric]:
        now_ns = self._clock_ns()
        waiting = self._source.waiting()
        if waiting is None:
            oldest = min((held.message.time_ns for held in self._held), default=None)
            waiting = Waiting(len(self._held), oldest)
        age = max(0, now_ns - waiting.oldest_ns) / 1e9 if waiting.oldest_ns is not None else 0.0
        state = {"unconfirmed_messages": waiting.messages, "unconfirmed_seconds": age}
        metrics = [Metric(Series(MQTT_GATEWAY.name, {}), state, now_ns)]
        if self._received:
            metrics.append(Metric(Series(MQTT_RECEIPT.name, {}), {"received": self._received}, now_ns))
            self._received = 0
        return metrics


def _live(line: str) -> Metric:
    metric = decode(line)
    series = Series(metric.series.measurement, {**metric.series.tags, INGEST: "gateway"})
    return Metric(series, metric.fields, metric.time_ns)
