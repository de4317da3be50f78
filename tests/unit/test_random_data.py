"""The worked example, without InfluxDB: the walk, the token, and what is told of a way that is blocked."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from collectors import random_data
from collectors.core.api import Context, Polled, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, Series
from collectors.core.line_protocol_parser import decode
from collectors.core.settings import Values
from collectors.random_data import Printed, Pushed, Target, Walk, check_url, read_token
from tests.schema_check import violations


class Way:
    """A way to InfluxDB that keeps what it is given, and says what it is told to."""

    def __init__(self, trouble: str | None = None, lost: str | None = None) -> None:
        self.acknowledged = 0
        self.lines: list[str] = []
        self._trouble = trouble
        self._lost = lost

    def deliver(self, line: str) -> str | None:
        self.lines.append(line)
        self.acknowledged += self._trouble is None
        return self._trouble

    def close(self) -> str | None:
        return self._lost


def _pushed(way: Way, report: ErrorReporter, *, once: bool = False) -> Pushed:
    series = Series("random_data", {"device": "shelf", "simulated": "true", "host": "pi", "site": "home"})
    return Pushed(Walk(Random(7)), series, way, report, lambda: 1_700_000_000_000_000_000, once=once)


def _ignore(_: str) -> None:
    return


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


def test_what_is_printed_is_as_declared() -> None:
    series = Series("random_data", {"device": "shelf", "simulated": "true"})
    (metric,) = Printed(Walk(Random(7)), series).collect()
    assert list(violations(metric, random_data.MEASUREMENTS)) == []


def test_what_is_pushed_is_as_declared_and_nothing_of_it_is_printed() -> None:
    way = Way()
    pushed = _pushed(way, ErrorReporter("random_data", _ignore))
    assert list(pushed.collect()) == list(pushed.collect()) == []
    metrics: list[Metric] = [decode(line) for line in way.lines]
    assert [violation for metric in metrics for violation in violations(metric, random_data.MEASUREMENTS)] == []
    assert [metric.fields["acknowledged_count"] for metric in metrics] == [0, 1]
    assert metrics[0].time_ns == 1_700_000_000_000_000_000


def test_a_blocked_way_is_counted_each_time_and_said_once() -> None:
    said: list[str] = []
    report = ErrorReporter("random_data", said.append)
    pushed = _pushed(Way("InfluxDB does not answer"), report)
    errors = []
    for _ in range(3):
        pushed.collect()
        errors.append(report.take())
    assert errors == [1, 1, 1]
    assert said == ["E! random_data: InfluxDB does not answer"]


def test_the_only_point_that_is_refused_is_a_failure() -> None:
    with pytest.raises(Unavailable, match="InfluxDB does not answer"):
        _pushed(Way("InfluxDB does not answer"), ErrorReporter("random_data", _ignore), once=True).collect()


def test_what_is_lost_at_the_end_is_said() -> None:
    said: list[str] = []
    _pushed(Way(lost="InfluxDB misses points"), ErrorReporter("random_data", said.append)).close()
    assert said == ["E! random_data: InfluxDB misses points"]


def test_the_token_of_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    assert read_token({}, str(file)) == "from-file"
    assert read_token({"SENSETIG_RANDOM_DATA_TOKEN": "from-environment"}, str(file)) == "from-environment"
    assert read_token({"SENSETIG_RANDOM_DATA_TOKEN": ""}, str(file)) == "from-file"


@pytest.mark.parametrize(
    ("environ", "file", "said"),
    [
        ({}, None, "there is no token for InfluxDB; give one in SENSETIG_RANDOM_DATA_TOKEN"),
        ({}, "/does/not/exist", "the token in /does/not/exist cannot be read"),
        ({"SENSETIG_RANDOM_DATA_TOKEN": "two words"}, None, "not one word of ASCII characters"),
        ({"SENSETIG_RANDOM_DATA_TOKEN": "line\nbreak"}, None, "not one word of ASCII characters"),
    ],
)
def test_a_token_that_is_none_gets_a_sentence(environ: dict[str, str], file: str | None, said: str) -> None:
    with pytest.raises(Unavailable, match=said) as caught:
        read_token(environ, file)
    assert not any(value in str(caught.value) for value in environ.values())


def test_a_target_does_not_show_its_token() -> None:
    target = Target("http://127.0.0.1:8086", "sensetig", "raw", "secret-token")
    assert "secret-token" not in f"{target} {target!r} {target.sentence(ConnectionError('refused'))}"


def test_the_address_must_be_one() -> None:
    values = Values({"url": "localhost:8086"})
    context = Context(values, ErrorReporter("random_data", _ignore), once=True, host="pi", clock_ns=lambda: 0)
    with pytest.raises(Unavailable) as caught:
        random_data.create(context)
    assert str(caught.value) == (
        "url is 'localhost:8086', which does not begin with http:// or https://; "
        "it must be one such as http://127.0.0.1:8086"
    )


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("ftp://127.0.0.1:8086", "which does not begin with http:// or https://"),
        ("http://", "which names no host"),
        ("http://:8086", "which names no host"),
        ("http:8086", "which names no host"),
        ("http://[::1", "whose host is none (Invalid IPv6 URL)"),
        ("http://127.0.0.1:80x6", "whose port is not a number from 1 to 65535"),
        ("http://127.0.0.1:99999", "whose port is not a number from 1 to 65535"),
        ("http://127.0.0.1:0", "whose port is not a number from 1 to 65535"),
        ("http://my pi:8086", "which has a character that no address has"),
        ("http://127.0.0.1:8086/?org=a", "which goes on behind a ? or a #"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(url: str, wrong: str) -> None:
    with pytest.raises(Unavailable) as caught:
        check_url(url)
    assert str(caught.value) == f"url is {url!r}, {wrong}; it must be one such as http://127.0.0.1:8086"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8086", "https://hub.local", "http://[::1]:8086/", "HTTP://hub:1/in"])
def test_an_address_that_is_one_is_taken_and_the_token_asked_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SENSETIG_RANDOM_DATA_TOKEN", raising=False)
    with pytest.raises(Unavailable, match="there is no token"):
        random_data.create(
            Context(
                Values({"url": url}), ErrorReporter("random_data", _ignore), once=True, host="pi", clock_ns=lambda: 0
            )
        )


def test_through_telegraf_neither_token_nor_library_is_needed() -> None:
    values = Values({"output": "telegraf", "seed": 7})
    context = Context(values, ErrorReporter("random_data", _ignore), once=True, host="pi", clock_ns=lambda: 0)
    collector = random_data.create(context)
    assert isinstance(collector, Polled)
    (metric,) = collector.collect()
    assert dict(metric.series.tags) == {"device": "pi", "simulated": "true"}
