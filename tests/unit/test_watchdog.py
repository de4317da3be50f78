"""A collector that hangs is ended, so that Telegraf restarts it, and counted."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from collectors.core.api import Wait
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, Series
from collectors.core.runner import Runner
from collectors.core.watchdog import Watchdog

PROGRAM = """
import sys, threading, types
from collectors.core import cli, registry, watchdog
watchdog.HANG_SECONDS = watchdog.STREAM_HANG_SECONDS = 0.2

class Hanging:
    def collect(self):
        threading.Event().wait()
    def stream(self, wait):
        threading.Event().wait()
        yield []
    def close(self):
        pass

if sys.argv[1] == "polled":
    del Hanging.stream
else:
    del Hanging.collect
module = types.SimpleNamespace(MEASUREMENTS=(), SETTINGS=(), create=lambda context: Hanging(), __doc__="")
cli.load = lambda name: module
sys.exit(cli.main(["hanging", "--execd"]))
"""


@pytest.mark.parametrize("kind", ["polled", "streaming"])
def test_a_collector_that_hangs_ends_with_a_line_in_the_log_and_in_the_metrics(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind], input="\n", capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 70
    assert done.stderr.startswith("E! hanging: the collector hangs for more than 0 s in ")
    assert "threading.py:" in done.stderr
    assert done.stdout.startswith("collector,collector=hanging samples=0i,errors=1i,up=0i,hangs=1i ")


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def dog(clock: Clock) -> Watchdog:
    return Watchdog(100, lambda _: None, clock)


class Slow:
    """A collector whose batch takes a while by that clock."""

    def __init__(self, clock: Clock, watchdog: Watchdog) -> None:
        self.clock, self.watchdog = clock, watchdog
        self.hung: list[bool] = []

    def _look(self, seconds: float) -> None:
        self.clock.now += seconds
        self.hung.append(self.watchdog.check())

    def collect(self) -> Iterable[Metric]:
        self._look(99)
        self._look(2)
        return ()

    def close(self) -> None:
        """Nothing is held."""


class SlowStream(Slow):
    collect = None  # type: ignore[assignment]

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        self._look(60)
        yield [Metric(Series("m"), {"f": 1}, 1)]
        self._look(60)  # a batch has been written in between
        wait(1000)
        self._look(60)
        self._look(60)


def test_a_batch_within_its_time_is_left_alone() -> None:
    clock = Clock()
    watchdog = dog(clock)
    slow = Slow(clock, watchdog)
    runner = Runner("x", slow, ErrorReporter("x", lambda _: None), lambda _: None, lambda: 1, clock, watchdog)
    runner._batch(slow)
    assert slow.hung == [False, True]
    clock.now += 1000
    assert not watchdog.check(), "between two batches nothing hangs"


def test_a_stream_may_wait_for_its_source() -> None:
    clock = Clock()
    watchdog = dog(clock)
    slow = SlowStream(clock, watchdog)

    def wait(seconds: float, _: int | None = None, /) -> bool:
        slow._look(seconds)
        return False

    runner = Runner("x", slow, ErrorReporter("x", lambda _: None), lambda _: None, lambda: 1, clock, watchdog)
    assert runner.run_streaming(wait) == 0
    assert slow.hung == [False, False, False, False, True]


def test_the_place_of_the_hang_is_reported() -> None:
    places: list[str] = []
    found = threading.Event()

    def on_hang(place: str) -> None:
        places.append(place)
        found.set()

    watchdog = Watchdog(0.01, on_hang, time.monotonic)
    watchdog.busy()
    watchdog.start()
    assert found.wait(60)
    assert Path(places[0].rpartition(":")[0]).name in ("threading.py", Path(__file__).name)
