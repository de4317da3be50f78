"""The processor for the runner: bytes in and out; opens its files and clocks."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from collectors.core.api import Context, Unavailable
from collectors.core.errors import start_error
from collectors.core.line_protocol import Metric, Series, encode
from collectors.core.schema import Measurement
from collectors.core.settings import SettingsError, Values, variable
from collectors.telemetry import measurements as reasons
from collectors.telemetry import settings
from collectors.telemetry.lines import Lines
from collectors.telemetry.pipeline import Gateway, Pipeline
from collectors.telemetry.rejections import Rejections

#: Seconds between attempts of a degraded processor to read its settings.
RETRY_INTERVAL_SECONDS = 10.0

_COLLECTOR = "telemetry"


class States(Protocol):
    """Keeps the state of devices, and writes it while the processor handles lines."""

    def tell(self) -> list[str]:
        """Return lines about writes, few enough not to delay input. Starts a write if one is due."""
        ...

    def close(self) -> list[str]:
        """Write for the last time; return the lines about it."""
        ...


class Stages(NamedTuple):
    """The parts of a processor, built from its settings.

    Args:
        lines: splits the input into whole lines.
        pipeline: calibrates and validates them.
        rejections: the pipeline's rejections.
        states: the device states, or None if none are kept.
        tags: ``host`` and ``site`` for metrics created here.
    """

    lines: Lines
    pipeline: Pipeline
    rejections: Rejections
    states: States | None
    tags: Mapping[str, str]


class Processor:
    """Sends lines through the pipeline, and adds the lines of the device states.

    It is degraded while it cannot start, for example with an invalid setting: whole lines pass unchanged, ``up`` is
    False, each attempt to start counts as an error, and the settings are read again every
    :data:`RETRY_INTERVAL_SECONDS`. If the process ended instead, Telegraf would lose every line until the fault is
    repaired.

    Args:
        open_stages: builds the stages from the settings. Raises SettingsError, Unavailable or ImportError.
        context: of the collector.
        timer: monotonic seconds.

    Raises:
        SettingsError, Unavailable, ImportError: it cannot start a one-shot run.
    """

    def __init__(self, open_stages: Callable[[Context], Stages], context: Context, timer: Callable[[], float]) -> None:
        self._open_stages = open_stages
        self._context = context
        self._timer = timer
        self._stages: Stages | None = None
        self._untouched = Lines(settings.MAX_LINE_BYTES.default)
        self._retry_at = 0.0
        self._start()

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of the self-metric."""
        return _environment_tags(self._context.host) if self._stages is None else self._stages.tags

    @property
    def up(self) -> bool:
        """False while the processor is degraded."""
        return self._stages is not None

    def process(self, data: bytes, /) -> tuple[bytes, int]:
        """The lines that result from the input: calibrated and validated, or unchanged while degraded."""
        if self._stages is None:
            lines = self._untouched.feed(data)
            self._context.report.errors += self._untouched.too_long
            self._untouched.too_long = 0
            return _joined(lines)
        return self._out(self._stages, self._run(self._stages, self._stages.lines.feed(data)))

    def tick(self) -> tuple[bytes, int]:
        """The lines of the device states. A degraded processor tries to start when an attempt is due."""
        if self._stages is None:
            if self._timer() < self._retry_at:
                return b"", 0
            self._context.values.reload()
            self._start()
            # Only whole lines were passed on: the pipeline begins with the rest.
            rest = self._untouched.rest() if self._stages is not None else b""
            return self.process(rest) if rest else (b"", 0)
        self._stages.pipeline.tick()
        return self._out(self._stages, self._stages.states.tell() if self._stages.states is not None else [])

    def flush(self) -> Iterator[tuple[bytes, int]]:
        """The remaining lines, and the last ones of the device states."""
        if self._stages is None:
            yield _joined(self._untouched.end())
            return
        yield self._out(self._stages, self._run(self._stages, self._stages.lines.end()))
        if self._stages.states is not None:
            yield self._out(self._stages, self._close_states())

    def close(self) -> None:
        """Release the stores, unless :meth:`flush` did."""
        self._close_states()
        if self._stages is not None:
            self._stages.pipeline.close()

    def _start(self) -> None:
        try:
            self._stages = self._open_stages(self._context)
        except (SettingsError, Unavailable, ImportError) as error:
            if self._context.once:
                raise
            self._retry_at = self._timer() + RETRY_INTERVAL_SECONDS
            self._context.report.error(
                f"{start_error(_COLLECTOR, error)}; until that is mended, lines go through neither calibrated nor "
                "validated"
            )

    def _close_states(self) -> list[str]:
        if self._stages is None or self._stages.states is None:
            return []
        states = self._stages.states
        self._stages = self._stages._replace(states=None)
        return states.close()

    def _run(self, stages: Stages, lines: list[str]) -> list[str]:
        out = stages.pipeline.run(lines, plain=stages.lines.plain)
        while stages.lines.too_long:
            stages.lines.too_long -= 1
            sentence = "a line was longer than the setting most_line_bytes allows"
            out.append(stages.rejections.line(reasons.TOO_LONG, self._context.clock_ns(), text=sentence))
        return out

    def _out(self, stages: Stages, lines: list[str]) -> tuple[bytes, int]:
        self._context.report.errors += stages.rejections.count
        stages.rejections.count = 0
        return _joined(lines)


def _joined(lines: list[str]) -> tuple[bytes, int]:
    if not lines:
        return b"", 0
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"), len(lines)


def _environment_tags(host: str) -> dict[str, str]:
    """``host`` and ``site`` without reading the settings, because the fault may be in their file."""
    host = os.environ.get(variable(_COLLECTOR, settings.HOST)) or host
    site = os.environ.get(variable(_COLLECTOR, settings.SITE))
    return {"host": host, "site": site} if site else {"host": host}


def open_processor(context: Context) -> Processor:
    """The processor. With an invalid setting it starts degraded, or raises in a one-shot run."""
    import time

    return Processor(open_stages, context, time.monotonic)


def open_stages(context: Context) -> Stages:
    """Build the stages from the settings.

    Raises:
        SettingsError: a setting is invalid.
        Unavailable: the limits cannot be read, a setting is not a date, or the state cannot be kept.
    """
    import time

    from collectors.clock import own_clock
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
    # Before the tracker is opened, because an invalid setting would leave it open at each retry.
    limit_table = LimitTable(declarations(names), _limits(values[settings.LIMITS]))
    earliest_ns = _day_ns(values[settings.EARLIEST])
    rejections = Rejections(tags, values[settings.MAX_TOPICS])
    complain = context.report.error
    said: deque[str] = deque()
    tracker = open_tracker(values, tags["host"], said.append, context.clock_ns, time.monotonic)
    states = None
    if tracker is not None:
        spell = _spelled(tags, said.append)
        states = Background(tracker, values[PENDING], said, complain, spell, time.monotonic, context.clock_ns)
    pipeline = Pipeline(
        names=names,
        limit_table=limit_table,
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
        earliest_ns=earliest_ns,
        ahead_ns=int(values[settings.AHEAD] * 1e9),
        max_series=values[settings.MAX_SERIES],
        clock_ns=context.clock_ns,
        synchronised=own_clock(),
        complain=complain,
        open_gateway=lambda: _open_gateway(values, complain),
    )
    lines = Lines(values[settings.MAX_LINE_BYTES])
    return Stages(lines, pipeline, rejections, states, tags)


def _spelled(tags: Mapping[str, str], refuse: Callable[[str], None]) -> Callable[[Metric], str]:
    """A function that encodes metrics created here, with the tags that Telegraf does not add to them."""

    def spell(metric: Metric) -> str:
        series = Series(metric.series.measurement, {**tags, **metric.series.tags})
        return encode(Metric(series, metric.fields, metric.time_ns), refuse)

    return spell


def declarations(names: Sequence[str]) -> list[Measurement]:
    """The declarations of these measurements, without those that no collector declares."""
    from collectors.core.measurements import SHARED
    from collectors.core.registry import catalogue, load

    found = [SHARED[name] for name in sorted(set(names) & SHARED.keys())]
    wanted = set(names) - SHARED.keys()
    # These two first: they usually declare all of them, and then no other module is imported.
    for name in sorted(catalogue(), key=lambda name: name not in ("sensehat", "telemetry")):
        if not wanted:
            break
        module = load(name)
        for measurement in module.MEASUREMENTS if module is not None else ():
            if measurement.name in wanted:
                found.append(measurement)
                wanted.discard(measurement.name)
    return found


def _open_gateway(values: Values, complain: Callable[[str], None]) -> Gateway:
    """The parts for messages. Most processors never receive one."""
    from fnmatch import fnmatchcase

    from collectors.device_state.settings import STATE
    from collectors.messaging.parsers.vocabulary import vocabulary
    from collectors.telemetry.allowance import Allowance, Bounds
    from collectors.telemetry.gateway_store import GatewayStore
    from collectors.telemetry.redelivery import Redelivery

    path, state = values[settings.GATEWAY_STATE], values[STATE]
    if path is None:
        path = "none" if state == "none" or "://" in state else os.path.join(os.path.dirname(state), "gateway.db")
    store = None if path == "none" else GatewayStore(path, complain)
    bounds = Bounds(
        values[settings.NEW_FIELDS],
        values[settings.NEW_SERIES],
        values[settings.ALL_NEW_FIELDS],
        values[settings.ALL_NEW_SERIES],
    )
    machines = _split(values[settings.MACHINES])
    return Gateway(
        is_machine=lambda device: any(fnmatchcase(device, pattern) for pattern in machines),
        redelivery=Redelivery(store),
        allowance=Allowance(bounds, vocabulary().kinds, store),
        flush=store.flush if store is not None else _nothing,
        close=store.close if store is not None else _nothing,
        retention_ns=int(values[settings.RETENTION] * 86_400) * 1_000_000_000,
    )


def _nothing() -> None:
    pass


def _split(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _limits(path: str | None) -> Mapping[str, object] | None:
    from collectors.telemetry.limits import LimitsError, read

    if not path:
        return None
    try:
        with open(path, encoding="utf-8-sig") as file:
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
