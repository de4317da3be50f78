"""Random data pushed straight to InfluxDB: the worked example of a collector of your own.

A walk and some noise, simulated and marked so. With ``output = "telegraf"`` the points are printed, as those of every
other collector are. With ``output = "influxdb"``, the default, this module is an application that writes to InfluxDB
itself, in batches that are tried again while InfluxDB is away; Telegraf only starts it, asks for a point every second,
and carries its ``collector`` self-metric.

The token comes from the variable SENSETIG_RANDOM_DATA_TOKEN or from the file that ``token_file`` names. It is no
setting of its own: an option would show it in the list of processes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from collectors.core.api import Collector, Context, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import FieldValue, Metric, Series, encode
from collectors.core.schema import Field, Measurement, Tag
from collectors.core.settings import Setting, Values

MEASUREMENTS = (
    Measurement(
        "random_data",
        "Random numbers from an example application that writes to InfluxDB itself.",
        (
            Tag("device", "What the application runs on; the host's name unless the settings name another."),
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
    "Where points go: to InfluxDB itself, or to standard output.",
    choices=("influxdb", "telegraf"),
)
URL = Setting("url", str, "http://127.0.0.1:8086", "Address of InfluxDB.")
ORGANISATION = Setting("organisation", str, "sensetig", "Organisation in InfluxDB.")
BUCKET = Setting("bucket", str, "raw", "Bucket that is written to.")
TOKEN_FILE: Setting[str | None] = Setting(
    "token_file", str, None, "File with a token that may write; SENSETIG_RANDOM_DATA_TOKEN itself goes before it."
)
DEVICE: Setting[str | None] = Setting("device", str, None, "The tag device; the host's name where nothing is said.")
HOST: Setting[str | None] = Setting("host", str, None, "The tag host of points that do not go through Telegraf.")
SITE = Setting("site", str, "home", "The tag site of points that do not go through Telegraf.")
SEED: Setting[int | None] = Setting("seed", int, None, "Makes the walk repeatable.")
BATCH_SIZE = Setting("batch_size", int, 60, "Points that make a batch full.", low=1, high=5000)
# A timer of influxdb-client outlives its use by this time, and the process with it. Telegraf kills after 5 s.
FLUSH_SECONDS = Setting(
    "flush_seconds", float, 4.0, "Time after which a batch goes out, full or not.", low=0.1, high=60
)
RETRY_SECONDS = Setting("retry_seconds", float, 3600.0, "Time for which a batch is tried again.", low=1)
BUFFER_SIZE = Setting("buffer_size", int, 3600, "Points that wait at most while InfluxDB is away.", low=1)
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

#: Time for the last batch at the end, in seconds; Telegraf kills what takes longer than 5.
CLOSE_SECONDS = 3.0

#: Longest pause between two attempts, in seconds; the end of the process may have to wait for one.
PAUSE_SECONDS = 5.0


class Walk:
    """A random walk between 0 and 100 that starts in the middle, with noise beside it."""

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
    """Points for whoever reads standard output."""

    def __init__(self, walk: Walk, series: Series) -> None:
        self._walk = walk
        self._series = series

    def collect(self) -> Iterable[Metric]:
        """One point."""
        yield Metric(self._series, self._walk.step())

    def close(self) -> None:
        """Nothing is held."""


class Delivery(Protocol):
    """A way to InfluxDB."""

    acknowledged: int

    def deliver(self, line: str) -> str | None:
        """Take a line of line protocol; a sentence when something is wrong with the way, else None."""
        ...

    def close(self) -> str | None:
        """Deliver what waits; a sentence when something was lost, else None."""
        ...


class Pushed:
    """Points that go to InfluxDB from here: standard output gets none of them."""

    def __init__(
        self,
        walk: Walk,
        series: Series,
        delivery: Delivery,
        report: ErrorReporter,
        clock_ns: Callable[[], int],
        *,
        once: bool,
    ) -> None:
        self._walk = walk
        self._series = series
        self._delivery = delivery
        self._report = report
        self._clock_ns = clock_ns
        self._once = once

    def collect(self) -> Iterable[Metric]:
        """Push one point. Raises Unavailable when it is the only one, and InfluxDB did not take it."""
        fields = {**self._walk.step(), "acknowledged_count": self._delivery.acknowledged}
        trouble = self._delivery.deliver(encode(Metric(self._series, fields, self._clock_ns())))
        if trouble and self._once:
            raise Unavailable(trouble)
        if trouble:
            self._report.error(trouble)
        return ()

    def close(self) -> None:
        """Deliver what waits, within a bound."""
        trouble = self._delivery.close()
        if trouble:
            self._report.error(trouble)


class Target(NamedTuple):
    """Where points go. The token does not show when it is printed."""

    url: str
    organisation: str
    bucket: str
    token: str

    def __repr__(self) -> str:
        return f"Target({self.url!r}, {self.organisation!r}, {self.bucket!r})"

    def sentence(self, error: Exception) -> str:
        """What went wrong, and what to do."""
        status, said = getattr(error, "status", None), " ".join(str(getattr(error, "message", "")).split())
        if status in (401, 403):
            return (
                f"InfluxDB at {self.url} does not let this token write to the bucket {self.bucket!r}; give one that "
                f"may in {TOKEN_VARIABLE} or in token_file"
            )
        if status is not None:
            return f"InfluxDB at {self.url} refused the points: {said or type(error).__name__} (status {status})"
        return f"InfluxDB at {self.url} does not answer"


class Once:
    """Writes each line at once, and waits for the answer."""

    def __init__(self, client: Any, target: Target) -> None:
        from influxdb_client.client.write_api import SYNCHRONOUS

        self.acknowledged = 0
        self._client = client
        self._api = client.write_api(write_options=SYNCHRONOUS)
        self._target = target

    def deliver(self, line: str) -> str | None:
        """Write a line; a sentence when InfluxDB did not take it."""
        from influxdb_client.client.exceptions import InfluxDBError
        from urllib3.exceptions import HTTPError

        try:
            self._api.write(self._target.bucket, self._target.organisation, line)
        except (InfluxDBError, HTTPError) as error:
            return self._target.sentence(error)
        self.acknowledged += 1
        return None

    def close(self) -> str | None:
        """Nothing waits."""
        self._client.close()
        return None


class Batches:
    """Collects lines into batches that influxdb-client writes from a thread of its own, again and again if need be.

    Its callbacks come from that thread; each sets plain attributes, and the thread that delivers reads them.
    """

    def __init__(self, client: Any, target: Target, values: Values) -> None:
        from influxdb_client.client.write_api import WriteOptions
        from reactivex.scheduler import ThreadPoolScheduler

        self.acknowledged = 0
        self._taken = 0
        self._refused = 0
        self._trouble: str | None = None
        self._closing = False
        self._client = client
        self._target = target
        self._buffer_size = values[BUFFER_SIZE]
        self._scheduler: Any = ThreadPoolScheduler(max_workers=1)
        make_options: Any = WriteOptions
        self._api = client.write_api(
            write_options=make_options(
                batch_size=values[BATCH_SIZE],
                flush_interval=int(values[FLUSH_SECONDS] * 1000),
                retry_interval=500,
                exponential_base=2,
                max_retry_delay=int(PAUSE_SECONDS * 1000),
                max_retry_time=int(values[RETRY_SECONDS] * 1000),
                max_retries=1_000_000,  # the time is what ends it
                max_close_wait=int(CLOSE_SECONDS * 1000),
                write_scheduler=self._scheduler,
            ),
            success_callback=self._on_success,
            error_callback=self._on_error,
            retry_callback=self._on_retry,
        )

    @property
    def _waiting(self) -> int:
        return self._taken - self.acknowledged - self._refused

    def deliver(self, line: str) -> str | None:
        """Take a line; the sentence of what is wrong at the moment, until a batch gets through again."""
        if self._waiting >= self._buffer_size:
            return f"{self._trouble or 'InfluxDB is too slow'}; {self._waiting} points wait, so this one is dropped"
        self._taken += 1
        self._api.write(self._target.bucket, self._target.organisation, line)
        return self._trouble

    def close(self) -> str | None:
        """Write what waits, as far as CLOSE_SECONDS allow."""
        self._closing = self._trouble is not None  # a batch that is being tried again is not tried yet again
        self._api.close()
        self._closing = True
        self._scheduler.executor.shutdown(wait=False, cancel_futures=True)
        waiting = self._waiting
        self._client.close()
        lost = [f"{waiting} had not reached it when it was time to stop"] if waiting else []
        lost += [f"{self._refused} were refused"] if self._refused else []
        return f"InfluxDB at {self._target.url} misses points: {', '.join(lost)}" if lost else None

    def _on_success(self, _key: object, data: bytes) -> None:
        self.acknowledged += _lines(data)
        self._trouble = None

    def _on_error(self, _key: object, data: bytes, error: Exception) -> None:
        self._trouble = self._target.sentence(error)
        if not self._closing:
            self._refused += _lines(data)

    def _on_retry(self, _key: object, _data: bytes, error: Exception) -> None:
        self._trouble = f"{self._target.sentence(error)}; points wait for it"
        if self._closing:
            raise Unavailable(self._trouble)


def _lines(data: bytes) -> int:
    return data.count(b"\n") + 1


def read_token(environ: Mapping[str, str], file: str | None) -> str:
    """The token from the environment or the file. Raises Unavailable where there is none."""
    token = environ.get(TOKEN_VARIABLE, "").strip()
    if not token and file:
        try:
            with open(file, encoding="ascii") as handle:
                token = handle.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"the token in {file} cannot be read: {error}") from None
    if not token:
        raise Unavailable(
            f"there is no token for InfluxDB; give one in {TOKEN_VARIABLE}, or a file of it in token_file"
        )
    if not all("!" <= character <= "~" for character in token):
        raise Unavailable("the token for InfluxDB is not one word of ASCII characters")
    return token


def check_url(url: str) -> None:
    """Raise Unavailable, with what is wrong, unless this is the address of a server."""
    if wrong := _wrong_with(url):
        raise Unavailable(f"url is {url!r}, {wrong}; it must be one such as http://127.0.0.1:8086")


def _wrong_with(url: str) -> str | None:
    from urllib.parse import urlsplit

    if not all("!" <= character <= "~" for character in url):
        return "which has a character that no address has"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return f"whose host is none ({error})"
    if parts.scheme not in ("http", "https"):
        return "which does not begin with http:// or https://"
    if not parts.hostname:
        return "which names no host"
    if parts.query or parts.fragment:
        return "which goes on behind a ? or a #"
    try:
        fits = parts.port != 0
    except ValueError:
        fits = False
    return None if fits else "whose port is not a number from 1 to 65535"


def create(context: Context) -> Collector:
    """The application, ready to push or to print."""
    values = context.values
    walk = Walk(random.Random(values[SEED]))
    tags = {"device": values[DEVICE] or context.host, "simulated": "true"}
    if values[OUTPUT] == "telegraf":
        return Printed(walk, Series("random_data", tags))
    check_url(values[URL])
    target = Target(values[URL], values[ORGANISATION], values[BUCKET], read_token(os.environ, values[TOKEN_FILE]))
    import logging

    from influxdb_client.client.influxdb_client import InfluxDBClient

    # The library logs each failure as well, in several lines; the sentence in our report is enough.
    logging.getLogger("influxdb_client").addHandler(logging.NullHandler())
    client = InfluxDBClient(target.url, target.token, org=target.organisation, timeout=4000)
    delivery: Delivery = Once(client, target) if context.once else Batches(client, target, values)
    # Telegraf adds these to the lines that it carries; this one goes past it.
    tags |= {"host": values[HOST] or context.host, "site": values[SITE]}
    return Pushed(walk, Series("random_data", tags), delivery, context.report, context.clock_ns, once=context.once)
