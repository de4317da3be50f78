"""The worked example, without InfluxDB: the walk, the token, and the report on a failed write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from urllib3.exceptions import ConnectTimeoutError

from collectors import random_data
from collectors.core.api import Context, Polled, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, Series
from collectors.core.line_protocol_parser import decode
from collectors.core.settings import Values
from collectors.random_data import Printed, Pushed, Walk, check_settings
from tests.schema_check import violations

AWAY = "InfluxDB at http://127.0.0.1:8086 does not answer"


class Client:
    """An InfluxDB client that keeps the lines, and whose callbacks the test calls."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.lines: list[str] = []
        self.closed = False
        self._fault = fault

    def write_api(self, **options: Any) -> Client:
        self.success: Callable[[object, bytes], None] = options.get("success_callback", lambda *_: None)
        self.error: Callable[[object, bytes, Exception], None] = options.get("error_callback", lambda *_: None)
        self.retry: Callable[[object, bytes, Exception], None] = options.get("retry_callback", lambda *_: None)
        return self

    def write(self, bucket: str, *, record: str) -> None:
        assert bucket == "raw"
        if self._fault is not None:
            raise self._fault
        self.lines.append(record)

    def close(self) -> None:
        self.closed = True


class Refusal(Exception):
    """An answer of InfluxDB."""

    status, message = 401, "unauthorized access"


class Bench:
    def __init__(self, *, once: bool = False, fault: Exception | None = None, **values: object) -> None:
        self.logged: list[str] = []
        self.client = Client(fault)
        self.report = ErrorReporter("random_data", self.logged.append)
        series = Series("random_data", {"device": "shelf", "simulated": "true", "host": "pi", "site": "home"})
        context = Context(Values(values), self.report, once, "pi", lambda: 1_700_000_000_000_000_000)
        self.pushed = Pushed(Walk(Random(7)), series, self.client, context)

    def collect(self) -> int:
        """Ask for a point; the number of errors."""
        assert list(self.pushed.collect()) == []
        return self.report.take()


def test_the_walk_stays_within_its_bounds_and_counts_its_steps() -> None:
    walk = Walk(Random(7))
    steps = [walk.step() for _ in range(20_000)]
    values = [float(step["value"]) for step in steps]
    assert min(values) >= 0
    assert max(values) <= 100
    assert max(values) - min(values) > 90, "it goes all the way"
    assert [step["step_count"] for step in steps] == list(range(1, 20_001))


def test_the_same_seed_walks_the_same_way() -> None:
    first, second = Walk(Random(7)), Walk(Random(7))
    assert [first.step() for _ in range(10)] == [second.step() for _ in range(10)]


def test_noise_is_centred_on_0_with_a_deviation_of_1() -> None:
    walk = Walk(Random(7))
    noise = [float(walk.step()["noise"]) for _ in range(20_000)]
    assert sum(noise) / len(noise) == pytest.approx(0, abs=0.03)
    assert sum(each**2 for each in noise) / len(noise) == pytest.approx(1, abs=0.03)


def test_a_printed_point_is_as_declared() -> None:
    series = Series("random_data", {"device": "shelf", "simulated": "true"})
    (metric,) = Printed(Walk(Random(7)), series).collect()
    assert list(violations(metric, random_data.MEASUREMENTS)) == []


def test_pushed_points_are_as_declared_and_count_the_acknowledged_ones() -> None:
    bench = Bench()
    assert bench.collect() == 0
    bench.client.success(None, b"one line")
    assert bench.collect() == 0
    metrics: list[Metric] = [decode(line) for line in bench.client.lines]
    assert [violation for metric in metrics for violation in violations(metric, random_data.MEASUREMENTS)] == []
    assert [metric.fields["acknowledged_count"] for metric in metrics] == [0, 1]
    assert metrics[0].time_ns == 1_700_000_000_000_000_000


def test_a_retry_is_counted_with_each_point_and_logged_once_until_a_batch_gets_through() -> None:
    bench = Bench()
    assert bench.collect() == 0
    bench.client.retry(None, b"one line", ConnectTimeoutError())
    assert [bench.collect(), bench.collect()] == [1, 1]
    assert bench.logged == [f"E! random_data: {AWAY}; points wait for it"]
    bench.client.success(None, b"three\nlines\nnow")
    assert bench.collect() == 0
    bench.pushed.close()
    assert bench.logged[1:] == ["E! random_data: InfluxDB at http://127.0.0.1:8086 misses points: 1 had not reached it "
                                "when it was time to stop"]  # fmt: skip
    assert bench.client.closed


def test_a_full_buffer_drops_the_point_and_reports_it() -> None:
    bench = Bench(buffer_size=2)
    assert [bench.collect() for _ in range(4)] == [0, 0, 1, 1]
    assert len(bench.client.lines) == 2
    assert bench.logged == ["E! random_data: InfluxDB is too slow; 2 points wait, so this one is dropped"]
    bench.client.success(None, b"two\nlines")
    assert bench.collect() == 0


def test_refused_points_are_reported_at_the_end() -> None:
    bench = Bench()
    bench.collect()
    bench.client.error(None, b"one line", Refusal())
    bench.pushed.close()
    assert bench.logged == ["E! random_data: InfluxDB at http://127.0.0.1:8086 misses points: 1 were refused"]


def test_a_single_point_that_fails_is_a_failure() -> None:
    with pytest.raises(Unavailable, match=f"^{AWAY}$"):
        Bench(once=True, fault=ConnectTimeoutError()).pushed.collect()


def test_the_token_of_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    file.chmod(0o600)
    values = Values({"token_file": str(file)})
    assert check_settings(values, {}) == "from-file"
    assert check_settings(values, {"SENSETIG_RANDOM_DATA_TOKEN": "from-environment"}) == "from-environment"
    assert check_settings(values, {"SENSETIG_RANDOM_DATA_TOKEN": ""}) == "from-file"


@pytest.mark.parametrize(
    ("environ", "file", "sentence"),
    [
        ({}, None, "there is no token for InfluxDB; give one in SENSETIG_RANDOM_DATA_TOKEN"),
        ({}, "/does/not/exist", "token_file /does/not/exist cannot be read"),
        ({"SENSETIG_RANDOM_DATA_TOKEN": "two words"}, None, "not one word of ASCII characters"),
        ({"SENSETIG_RANDOM_DATA_TOKEN": "line\nbreak"}, None, "not one word of ASCII characters"),
    ],
)
def test_a_missing_or_malformed_token_is_one_sentence(environ: dict[str, str], file: str | None, sentence: str) -> None:
    with pytest.raises(Unavailable, match=sentence) as caught:
        check_settings(Values({"token_file": file}), environ)
    assert not any(value in str(caught.value) for value in environ.values())


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8086",
        "ftp://127.0.0.1:8086",
        "http://",
        "http://:8086",
        "http:8086",
        "http://[::1",
        "http://127.0.0.1:80x6",
        "http://127.0.0.1:99999",
        "http://my pi:8086",
        "http://127.0.0.1:8086/?org=a",
    ],
)
def test_an_address_that_is_not_one_is_refused_before_the_token_is_read(url: str) -> None:
    with pytest.raises(Unavailable) as caught:
        check_settings(Values({"url": url}), {})
    assert str(caught.value) == f"url is {url!r}; it must be one such as http://127.0.0.1:8086"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8086", "https://hub.local", "http://[::1]:8086/", "HTTP://hub:1/in"])
def test_an_address_is_accepted(url: str) -> None:
    assert check_settings(Values({"url": url}), {"SENSETIG_RANDOM_DATA_TOKEN": "secret"}) == "secret"


def test_through_telegraf_neither_token_nor_library_is_needed() -> None:
    values = Values({"output": "telegraf", "seed": 7})
    context = Context(values, ErrorReporter("random_data", print), once=True, host="pi", clock_ns=lambda: 0)
    collector = random_data.create(context)
    assert isinstance(collector, Polled)
    (metric,) = collector.collect()
    assert dict(metric.series.tags) == {"device": "pi", "simulated": "true"}
