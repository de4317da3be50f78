"""The outbox as a process on a Pi that boots in 1970, with the real InfluxDB behind it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.clocked import set_clock
from tests.integration.conftest import InfluxDB
from tests.integration.test_outbox import House, asked, until, write

pytestmark = pytest.mark.engines

_SECOND = 1_000_000_000


@contextmanager
def _outbox(house: House, clock: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable, "-m", "tests.chaos.clocked", clock, "sensetig", "outbox", "--folder", house.outbox_folder,
        "--url", house.url, "--listen", f"unix:{house.socket}", "--token-file", house.folder / "token",
        "--clock-wait", "3600",
    ]  # fmt: skip
    with (
        (house.folder / "outbox.log").open("ab") as log,
        subprocess.Popen([str(word) for word in command], stderr=log) as process,
    ):
        try:
            until(lambda: process.poll() is not None or house.answers(), 60)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("seconds", [-time.time(), -7200.0], ids=["1970", "two hours behind"])
def test_points_from_before_the_synchronisation_are_held_and_arrive_with_their_true_times(
    influxdb: InfluxDB, telegraf: Path, tmp_path: Path, seconds: float
) -> None:
    name = f"booted_{abs(int(seconds))}"
    house = House(tmp_path, telegraf, influxdb.url, influxdb.write_token, name)
    clock = tmp_path / "clock"
    set_clock(clock, seconds, synchronised=False)

    def line(number: int, offset: float = seconds) -> str:
        now = time.time_ns()
        return f"{name} number={number}i,known={now}i {now + int(offset * _SECOND)}"

    with _outbox(house, clock) as process:
        assert write(house, "\n".join(line(number) for number in range(5))) == 204
        until(lambda: house.waiting == 5)
        process.kill()
    with _outbox(house, clock):
        assert write(house, "\n".join(line(number) for number in range(5, 10))) == 204
        assert house.waiting == 10, "they wait for the clock"
        assert asked(influxdb.url, influxdb.read_token, f"SELECT number FROM {name}") == []  # noqa: S608
        late = line(10)
        set_clock(clock, 0.0)
        until(lambda: house.waiting == 0)
        assert write(house, f"{late}\n{line(11, 0.0)}") == 204
        query = f"SELECT number, known FROM {name}"  # noqa: S608 - the name is the test's own
        until(lambda: len(asked(influxdb.url, influxdb.read_token, query)) == 12)
    rows = asked(influxdb.url, influxdb.read_token, query)
    assert [number for _, number, _ in rows] == list(range(12)), "in order"
    assert all(abs(stored - known) < _SECOND for stored, _, known in rows)


def test_a_machine_that_gets_no_time_is_useful_after_the_wait(
    influxdb: InfluxDB, telegraf: Path, tmp_path: Path
) -> None:
    house = House(tmp_path, telegraf, influxdb.url, influxdb.write_token, "offline")
    clock = tmp_path / "clock"
    set_clock(clock, -60.0, synchronised=False)
    # It has booted more than the wait ago.
    Path(f"{clock}.boot").write_text(str(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 3601 * _SECOND))
    with _outbox(house, clock):
        assert write(house, f"offline v=1 {time.time_ns() - 60 * _SECOND}") == 204
        until(lambda: len(asked(influxdb.url, influxdb.read_token, "SELECT v FROM offline")) == 1)
