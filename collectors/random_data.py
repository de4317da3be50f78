"""Random data pushed straight to InfluxDB: the worked example of a collector of your own.

A random walk with noise, simulated and tagged accordingly. With ``output = "telegraf"`` the points are printed, as by
every other collector. With ``output = "influxdb"``, the default, this module is an application that writes to InfluxDB
itself, in batches that influxdb-client retries while InfluxDB is unreachable. Telegraf only starts it, requests a point
every second, and stores its ``collector`` self-metric.

The token comes from the variable SENSETIG_RANDOM_DATA_TOKEN or from the file in ``token_file``, never from an option,
which would show it in the list of processes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping
from typing import Any

from collectors.core.api import Collector, Context, Unavailable
from collectors.core.files import is_token, read_token
from collectors.core.line_protocol import FieldValue, Metric, Series, encode
from collectors.core.schema import Field, Measurement, Tag
from collectors.core.settings import Setting, Values

MEASUREMENTS = (
    Measurement(
        "random_data",
        "Random numbers from an example application that writes to InfluxDB itself.",
        (
            Tag("device", "Name of the machine; the host name unless the settings give another."),
            Tag("simulated", "Always true: nothing is measured here.", optional=True),
        ),
        (
            Field("value", float, "", "A random walk that turns back at 0 and 100.", 0, 100),
            Field("noise", float, "", "Noise, normally distributed around 0 with a standard deviation of 1."),
            Field("step_count", int, "", "Steps of the walk since the application was started.", 1),
            Field(
                "acknowledged_count",
                int,
                "",
                "Points that InfluxDB has acknowledged since the application was started; absent through Telegraf.",
                0,
            ),
        ),
    ),
)

OUTPUT = Setting(
    "output",
    str,
    "influxdb",
    "Destination of points: InfluxDB itself, or standard output for Telegraf.",
    choices=("influxdb", "telegraf"),
)
URL = Setting("url", str, "http://127.0.0.1:8086", "Address of InfluxDB.")
ORGANISATION = Setting("organisation", str, "sensetig", "Organisation in InfluxDB.")
BUCKET = Setting("bucket", str, "raw", "Bucket that is written to.")
TOKEN_FILE: Setting[str | None] = Setting(
    "token_file", str, None, "File with a token that can write; SENSETIG_RANDOM_DATA_TOKEN overrides it."
)
DEVICE: Setting[str | None] = Setting("device", str, None, "The tag device; by default the host name.")
HOST: Setting[str | None] = Setting("host", str, None, "The tag host of points that do not go through Telegraf.")
SITE = Setting("site", str, "home", "The tag site of points that do not go through Telegraf.")
SEED: Setting[int | None] = Setting("seed", int, None, "Seed of the walk, to repeat it.")
BATCH_SIZE = Setting("batch_size", int, 60, "Points in a full batch.", low=1, high=5000)
# A timer of influxdb-client keeps the process alive for this time. Telegraf kills it after 5 s.
FLUSH_SECONDS = Setting(
    "flush_seconds", float, 4.0, "Seconds after which a batch is written, full or not.", low=0.1, high=60
)
RETRY_SECONDS = Setting("retry_seconds", float, 3600.0, "Seconds for which a batch is retried.", low=1)
BUFFER_SIZE = Setting("buffer_size", int, 3600, "Maximum number of points that wait while InfluxDB is away.", low=1)
SETTINGS: tuple[Setting[Any], ...] = (
    OUTPUT,
    URL,
    ORGANISATION,
    BUCKET,
    TOKEN_FILE,
    DEVICE,
    HOST,
    SITE,
    SEED,
    BATCH_SIZE,
    FLUSH_SECONDS,
    RETRY_SECONDS,
    BUFFER_SIZE,
)

TOKEN_VARIABLE = "SENSETIG_RANDOM_DATA_TOKEN"  # noqa: S105 - the variable's name

#: Time limit for the last batch at the end, in seconds; Telegraf kills a process that takes longer than 5.
CLOSE_SECONDS = 3.0

#: Maximum pause between two attempts, in seconds; the end of the process may have to wait for one.
MAX_PAUSE_SECONDS = 5.0


class Walk:
    """A random walk between 0 and 100 that starts at 50, with noise."""

    def __init__(self, numbers: random.Random) -> None:
        self._numbers = numbers
        self._value = 50.0
        self._steps = 0

    def step(self) -> dict[str, FieldValue]:
        """The fields of the next point."""
        value = abs(self._value + self._numbers.gauss(0.0, 1.0))
        self._value = min(value, 200.0 - value)
        self._steps += 1
        return {"value": self._value, "noise": self._numbers.gauss(0.0, 1.0), "step_count": self._steps}


class Printed:
    """Prints a point for each request; Telegraf stores it."""

    def __init__(self, walk: Walk, series: Series) -> None:
        self._walk = walk
        self._series = series

    def collect(self) -> Iterable[Metric]:
        """One point."""
        yield Metric(self._series, self._walk.step())

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class Pushed:
    """Writes a point for each request directly to InfluxDB; none goes to standard output.

    influxdb-client collects the points into batches, and writes them on its own thread. Its callbacks run there;
    each sets plain attributes, which :meth:`collect` reads.

    Args:
        walk: makes the points.
        series: their tags. Telegraf cannot add any to these points.
        client: the ``InfluxDBClient``.
        context: of the collector.
    """

    def __init__(self, walk: Walk, series: Series, client: Any, context: Context) -> None:
        self._walk = walk
        self._series = series
        self._client = client
        self._context = context
        self._url, self._bucket = context.values[URL], context.values[BUCKET]
        self._max_waiting = context.values[BUFFER_SIZE]
        self._taken = self._acknowledged = self._refused = 0
        self._trouble = ""
        self._closing = False
        self._api = None if context.once else self._batches(context.values)

    def collect(self) -> Iterable[Metric]:
        """Queue one point, and report an error until a batch succeeds again."""
        fields = {**self._walk.step(), "acknowledged_count": self._acknowledged}
        line = encode(Metric(self._series, fields, self._context.clock_ns()))
        if self._api is None:
            self._write_now(line)
            return ()
        waiting = self._taken - self._acknowledged - self._refused
        if waiting >= self._max_waiting:
            trouble = self._trouble or "InfluxDB is too slow"
            self._context.report.error(f"{trouble}; {waiting} points wait, so this one is dropped")
            return ()
        self._taken += 1
        self._api.write(self._bucket, record=line)
        if self._trouble:
            self._context.report.error(self._trouble)
        return ()

    def close(self) -> None:
        """Write the waiting points within CLOSE_SECONDS, and report lost ones."""
        if self._api is not None:
            self._closing = bool(self._trouble)  # a batch in retry gets no further attempt
            self._api.close()
            self._closing = True
            # The timer and the retries would keep the process alive.
            self._scheduler.executor.shutdown(wait=False, cancel_futures=True)
        waiting = self._taken - self._acknowledged - self._refused
        self._client.close()
        lost = [f"{waiting} had not reached it when it was time to stop"] if waiting else []
        lost += [f"{self._refused} were refused"] if self._refused else []
        if lost:
            self._context.report.error(f"InfluxDB at {self._url} misses points: {', '.join(lost)}")

    def _batches(self, values: Values) -> Any:
        from influxdb_client.client.write_api import WriteOptions
        from reactivex.scheduler import ThreadPoolScheduler

        self._scheduler: Any = ThreadPoolScheduler(max_workers=1)
        make_options: Any = WriteOptions
        return self._client.write_api(
            write_options=make_options(
                batch_size=values[BATCH_SIZE],
                flush_interval=int(values[FLUSH_SECONDS] * 1000),
                retry_interval=500,
                exponential_base=2,
                max_retry_delay=int(MAX_PAUSE_SECONDS * 1000),
                max_retry_time=int(values[RETRY_SECONDS] * 1000),
                max_retries=1_000_000,  # the time limits them
                max_close_wait=int(CLOSE_SECONDS * 1000),
                write_scheduler=self._scheduler,
            ),
            success_callback=self._on_success,
            error_callback=self._on_error,
            retry_callback=self._on_retry,
        )

    def _write_now(self, line: str) -> None:
        """Write a single point. Raises Unavailable if InfluxDB does not store it."""
        from influxdb_client.client.exceptions import InfluxDBError
        from influxdb_client.client.write_api import SYNCHRONOUS
        from urllib3.exceptions import HTTPError

        try:
            self._client.write_api(write_options=SYNCHRONOUS).write(self._bucket, record=line)
        except (InfluxDBError, HTTPError) as error:
            raise Unavailable(self._sentence(error)) from None

    def _sentence(self, error: Exception) -> str:
        status, message = getattr(error, "status", None), " ".join(str(getattr(error, "message", "")).split())
        if status is None:
            return f"InfluxDB at {self._url} does not answer"
        if status in (401, 403):
            return (
                f"InfluxDB at {self._url} does not let this token write to the bucket {self._bucket!r}; give one that "
                f"may in {TOKEN_VARIABLE} or in token_file"
            )
        return f"InfluxDB at {self._url} refused the points: {message or type(error).__name__} (status {status})"

    def _on_success(self, _key: object, batch: bytes) -> None:
        self._acknowledged += _count(batch)
        self._trouble = ""

    def _on_error(self, _key: object, batch: bytes, error: Exception) -> None:
        self._trouble = self._sentence(error)
        if not self._closing:
            self._refused += _count(batch)

    def _on_retry(self, _key: object, _batch: bytes, error: Exception) -> None:
        self._trouble = f"{self._sentence(error)}; points wait for it"
        if self._closing:
            raise Unavailable(self._trouble)  # ends the retries


def _count(batch: bytes) -> int:
    return batch.count(b"\n") + 1


def check_settings(values: Values, environ: Mapping[str, str]) -> str:
    """The token. Raises Unavailable for an invalid address, or without a token."""
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        address = parse_url(values[URL])
        valid = address.scheme in ("http", "https") and bool(address.host) and address.query is None
    except LocationParseError:
        valid = False
    if not valid:
        raise Unavailable(f"url is {values[URL]!r}; it must be one such as http://127.0.0.1:8086")
    token, file = environ.get(TOKEN_VARIABLE, "").strip(), values[TOKEN_FILE]
    if token and not is_token(token):
        raise Unavailable(f"{TOKEN_VARIABLE} is not one word of ASCII characters, as a token is")
    if not token and not file:
        raise Unavailable(
            f"there is no token for InfluxDB; give one in {TOKEN_VARIABLE}, or a file of it in token_file"
        )
    return token or read_token(file or "", TOKEN_FILE.name)


def create(context: Context) -> Collector:
    """The application, ready to push or to print."""
    values = context.values
    walk = Walk(random.Random(values[SEED]))
    tags = {"device": values[DEVICE] or context.host, "simulated": "true"}
    if values[OUTPUT] == "telegraf":
        return Printed(walk, Series("random_data", tags))
    token = check_settings(values, os.environ)
    import logging

    from influxdb_client.client.influxdb_client import InfluxDBClient

    # The library logs each failure in several lines; the reported sentence is sufficient.
    logging.getLogger("influxdb_client").addHandler(logging.NullHandler())
    client = InfluxDBClient(values[URL], token, org=values[ORGANISATION], timeout=4000)
    tags |= {"host": values[HOST] or context.host, "site": values[SITE]}
    return Pushed(walk, Series("random_data", tags), client, context)
