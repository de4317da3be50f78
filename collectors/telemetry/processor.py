"""The processor as the runner knows it: bytes in and out, with its files and clocks opened here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.runner import Context, Unavailable
from collectors.schema import Measurement
from collectors.telemetry import measurements as reasons
from collectors.telemetry import settings
from collectors.telemetry.lines import Lines
from collectors.telemetry.pipeline import Pipeline
from collectors.telemetry.rejections import Rejections


class Processor:
    """Lines through the pipeline, and what the device states have to tell.

    Args:
        lines: makes whole lines of what comes.
        pipeline: what is done with them.
        rejections: those of the pipeline.
        context: of the collector.
        tags: ``host`` and ``site`` of what is made here.
    """

    def __init__(
        self, lines: Lines, pipeline: Pipeline, rejections: Rejections, context: Context, tags: Mapping[str, str]
    ) -> None:
        self.tags = tags
        self._lines = lines
        self._pipeline = pipeline
        self._rejections = rejections
        self._context = context

    def feed(self, data: bytes, /) -> tuple[bytes, int]:
        """The lines that come out of what came in."""
        return self._out(self._run(self._lines.feed(data)))

    def due(self) -> tuple[bytes, int]:
        """What the device states have to tell."""
        self._pipeline.tick()
        return self._out([])

    def end(self) -> tuple[bytes, int]:
        """The rest, and the last of the device states."""
        return self._out(self._run(self._lines.end()))

    def close(self) -> None:
        """Nothing is open."""

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

    from collectors.telemetry.calibrations import CALIBRATION_DEVICES, CALIBRATION_RECHECK, CALIBRATIONS, Calibrations
    from collectors.telemetry.limits import Book

    values = context.values
    names = _split(values[settings.NAMES])
    tags = {"host": values[settings.HOST] or context.host}
    if values[settings.SITE]:
        tags["site"] = values[settings.SITE] or ""
    rejections = Rejections(tags, values[settings.MOST_TOPICS])
    pipeline = Pipeline(
        names=names,
        book=Book(declarations(names), _limits(values[settings.LIMITS])),
        calibrations=Calibrations(
            values[CALIBRATIONS],
            context.report.error,
            time.monotonic,
            values[CALIBRATION_RECHECK],
            values[CALIBRATION_DEVICES],
        ),
        tracker=None,
        rejections=rejections,
        devices=_split(values[settings.DEVICES]),
        earliest_ns=_day_ns(values[settings.EARLIEST]),
        ahead_ns=int(values[settings.AHEAD] * 1e9),
        most_series=values[settings.MOST_SERIES],
        clock_ns=context.clock_ns,
        complain=context.report.error,
    )
    return Processor(Lines(values[settings.MOST_LINE_BYTES]), pipeline, rejections, context, tags)


def declarations(names: Sequence[str]) -> list[Measurement]:
    """What collectors declare of these measurements; a measurement that none of them emits has no declaration."""
    from importlib import import_module

    from collectors.__main__ import catalogue

    found: list[Measurement] = []
    wanted = set(names)
    # The Sense HAT's first: mostly there is nothing else to look for, and no other module is imported.
    for name in sorted(catalogue(), key=lambda name: name != "sensehat"):
        if not wanted:
            break
        if name == "telemetry":
            continue
        for measurement in import_module(f"collectors.{name}").MEASUREMENTS:
            if measurement.name in wanted:
                found.append(measurement)
                wanted.discard(measurement.name)
    return found


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
