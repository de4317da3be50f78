"""The processor as the runner knows it: bytes in and out, with its files and clocks opened here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from collectors.core.api import Context, Unavailable
from collectors.core.line_protocol import Metric, Series, encode
from collectors.core.schema import Measurement
from collectors.telemetry import measurements as reasons
from collectors.telemetry import settings
from collectors.telemetry.lines import Lines
from collectors.telemetry.pipeline import Pipeline
from collectors.telemetry.rejections import Rejections


class States(Protocol):
    """What keeps the state of devices, and writes it beside the lines."""

    def tell(self) -> list[str]:
        """Lines about what was written, so many that nobody waits for them; it writes where it is time to."""
        ...

    def close(self) -> list[str]:
        """Write for the last time, and tell of it."""
        ...


class Processor:
    """Lines through the pipeline, and what the device states have to tell.

    Args:
        lines: makes whole lines of what comes.
        pipeline: what is done with them.
        rejections: those of the pipeline.
        states: of the devices, or None where none are kept.
        context: of the collector.
        tags: ``host`` and ``site`` of what is made here.
    """

    def __init__(
        self,
        lines: Lines,
        pipeline: Pipeline,
        rejections: Rejections,
        states: States | None,
        context: Context,
        tags: Mapping[str, str],
    ) -> None:
        self.tags = tags
        self.up = True
        self._lines = lines
        self._pipeline = pipeline
        self._rejections = rejections
        self._states = states
        self._context = context

    def process(self, data: bytes, /) -> tuple[bytes, int]:
        """The lines that come out of what came in."""
        return self._out(self._run(self._lines.feed(data)))

    def tick(self) -> tuple[bytes, int]:
        """What the device states have to tell."""
        self._pipeline.tick()
        return self._out(self._states.tell() if self._states is not None else [])

    def flush(self) -> Iterator[tuple[bytes, int]]:
        """The rest, and the last of the device states."""
        yield self._out(self._run(self._lines.end()))
        if self._states is not None:
            states, self._states = self._states, None
            yield self._out(states.close())

    def close(self) -> None:
        """Let go of the store, where it was not ended in order."""
        if self._states is not None:
            states, self._states = self._states, None
            states.close()

    def _run(self, lines: list[str]) -> list[str]:
        out = self._pipeline.run(lines, plain=self._lines.plain)
        while self._lines.too_long:
            self._lines.too_long -= 1
            sentence = "a line was longer than the setting most_line_bytes allows"
            out.append(self._rejections.line(reasons.TOO_LONG, self._context.clock_ns(), text=sentence))
        return out

    def _out(self, lines: list[str]) -> tuple[bytes, int]:
        self._context.report.errors += self._rejections.count
        self._rejections.count = 0
        if not lines:
            return b"", 0
        return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"), len(lines)


def open_processor(context: Context) -> Processor:
    """The processor of the settings. Raises Unavailable where its limits cannot be read, or a setting is no date."""
    import time

    from collectors.device_state.background import Background
    from collectors.device_state.settings import PENDING
    from collectors.device_state.tracker import open_tracker
    from collectors.telemetry.calibrations import CALIBRATION_DEVICES, CALIBRATION_RECHECK, CALIBRATIONS, Calibrations
    from collectors.telemetry.limits import LimitTable

    values = context.values
    names = _split(values[settings.NAMES])
    tags = {"host": values[settings.HOST] or context.host}
    if values[settings.SITE]:
        tags["site"] = values[settings.SITE] or ""
    rejections = Rejections(tags, values[settings.MOST_TOPICS])
    complain = context.report.error
    said: deque[str] = deque()
    tracker = open_tracker(values, tags["host"], said.append, context.clock_ns, time.monotonic)
    states = None
    if tracker is not None:
        spell = _spelled(tags, said.append)
        states = Background(tracker, values[PENDING], said, complain, spell, time.monotonic, context.clock_ns)
    pipeline = Pipeline(
        names=names,
        book=LimitTable(declarations(names), _limits(values[settings.LIMITS])),
        calibrations=Calibrations(
            values[CALIBRATIONS],
            complain,
            time.monotonic,
            values[CALIBRATION_RECHECK],
            values[CALIBRATION_DEVICES],
        ),
        tracker=states,
        rejections=rejections,
        devices=_split(values[settings.DEVICES]),
        earliest_ns=_day_ns(values[settings.EARLIEST]),
        ahead_ns=int(values[settings.AHEAD] * 1e9),
        most_series=values[settings.MOST_SERIES],
        clock_ns=context.clock_ns,
        complain=complain,
        kinds=lru_cache(maxsize=256)(_kinds),
    )
    lines = Lines(values[settings.MOST_LINE_BYTES])
    return Processor(lines, pipeline, rejections, states, context, tags)


def _spelled(tags: Mapping[str, str], refuse: Callable[[str], None]) -> Callable[[Metric], str]:
    """Makes lines of metrics that are made here, with the tags that Telegraf does not add to them."""

    def spell(metric: Metric) -> str:
        series = Series(metric.series.measurement, {**tags, **metric.series.tags})
        return encode(Metric(series, metric.fields, metric.time_ns), refuse)

    return spell


def declarations(names: Sequence[str]) -> list[Measurement]:
    """What collectors declare of these measurements; a measurement that none of them emits has no declaration."""
    from importlib import import_module

    from collectors.core.registry import catalogue

    found: list[Measurement] = []
    wanted = set(names)
    # These two first: mostly there is nothing else to look for, and no other module is imported.
    for name in sorted(catalogue(), key=lambda name: name not in ("sensehat", "telemetry")):
        if not wanted:
            break
        for measurement in import_module(f"collectors.{name}").MEASUREMENTS:
            if measurement.name in wanted:
                found.append(measurement)
                wanted.discard(measurement.name)
    return found


def _kinds(name: str) -> Mapping[str, type]:
    return {field.name: field.kind for measurement in declarations([name]) for field in measurement.fields}


def _split(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _limits(path: str | None) -> Mapping[str, object] | None:
    from collectors.telemetry.limits import LimitsError, read

    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return read(file.read(), path)
    except LimitsError as error:
        raise Unavailable(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"{path}: the limits cannot be read: {error}; name another file in limits") from None


def _day_ns(text: str) -> int:
    from datetime import UTC, datetime

    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise Unavailable(f"earliest is {text!r}; it must be a day such as 2010-01-01") from None
    return int(day.timestamp()) * 1_000_000_000
