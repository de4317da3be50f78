"""The collector ``system`` as a whole, on a small fake /proc and /sys."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from pathlib import Path

import pytest

from collectors import system
from collectors.core.api import PAUSE, Context, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, Series
from collectors.core.settings import Values
from collectors.core.slow_reads import Answer, Read, SlowReads
from tests.schema_check import violations

STAT = """\
cpu  100 10 50 800 20 5 5 10 0 0
cpu0 60 5 25 390 10 5 5 0 0 0
cpu1 40 5 25 410 10 0 0 10 0 0
intr 1
"""
LATER = """\
cpu  150 10 75 820 20 5 5 15 0 0
cpu0 90 5 40 395 10 5 5 0 0 0
cpu1 60 5 35 425 10 0 0 15 0 0
intr 1
"""
MEMINFO = """\
MemTotal:        1000 kB
MemFree:          300 kB
MemAvailable:     600 kB
Buffers:           10 kB
Cached:           200 kB
SReclaimable:      50 kB
SwapTotal:        400 kB
SwapFree:         100 kB
HugePages_Total:    3
Hugepagesize:    2048 kB
"""
MOUNTINFO = """\
22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
24 22 0:22 / /run rw,nosuid - tmpfs tmpfs rw
"""
DISKSTATS = """\
   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
 179       0 mmcblk0 100 5 2000 50 40 2 800 70 0 90 120 0 0 0 0 0 0
"""
NET = """\
Inter-|   Receive                            |  Transmit
 face |bytes packets errs drop fifo frame ...|bytes packets errs drop fifo colls ...
    lo:  500    5    0    0    0    0    0    0   500    5    0    0    0    0    0    0
  eth0: 1000   10    1    2    0    0    0    0  2000   20    3    4    0    0    0    0
 wlan0:    0    0    0    0    0    0    0    0     0    0    0    0    0    0    0    0
"""


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A Pi with an SD card, two processors, a cable, two processes and a sensor."""
    write(
        tmp_path,
        {
            "proc/stat": STAT,
            "proc/meminfo": MEMINFO,
            "proc/vmstat": "pgpgin 7\npswpin 2\npswpout 3\n",
            "proc/1/mountinfo": MOUNTINFO,
            "proc/1/stat": "1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9 0 0",
            "proc/42/stat": "42 (a) b (c) R 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 9 0 0",
            "proc/diskstats": DISKSTATS,
            "proc/net/dev": NET,
            "proc/loadavg": "0.10 0.20 0.30 1/2 42\n",
            "proc/uptime": "93784.56 100.00\n",
            "sys/devices/system/cpu/online": "0-1\n",
            "sys/devices/system/cpu/cpu0/topology/core_cpus_list": "0\n",
            "sys/devices/system/cpu/cpu1/topology/core_cpus_list": "1\n",
            "sys/class/net/lo/flags": "0x9\n",
            "sys/class/net/eth0/flags": "0x1003\n",
            "sys/class/net/eth0/speed": "1000\n",
            "sys/class/net/wlan0/flags": "0x1002\n",
            "sys/class/block/mmcblk0p2/dev": "179:2\n",
            "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
            "sys/class/hwmon/hwmon0/temp1_input": "48312\n",
            "run/udev/data/b179:2": "S:disk/by-label/rootfs\nE:ID_FS_LABEL=rootfs\n",
        },
    )
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/179:2").symlink_to("../../devices/mmcblk0/mmcblk0p2")
    return tmp_path


class Bench:
    """A collector on a fake machine, with its errors. A batch waits for all slow reads."""

    def __init__(self, machine: Path, *, once: bool = True, **values: object) -> None:
        self.said: list[str] = []
        self.report = ErrorReporter("system", self.said.append)
        roots = {f"{name}_root": str(machine / name) for name in ("proc", "sys", "run")}
        # Long enough for every answer on a busy machine.
        values = {"disk_timeout_seconds": 60.0, "temp_timeout_seconds": 60.0, "cpu_sample_seconds": 0.0, **values}
        context = Context(Values({**roots, **values}), self.report, once, "pi", lambda: 1_000)
        self.collector = system.create(context)

    def batch(self) -> dict[Series, Metric]:
        metrics = [metric for metric in self.collector.collect() if metric is not PAUSE]
        for metric in metrics:
            assert list(violations(metric, system.MEASUREMENTS)) == []
        return {metric.series: metric for metric in metrics}

    def close(self) -> None:
        self.collector.close()


def names(batch: dict[Series, Metric]) -> list[str]:
    return sorted({series.measurement for series in batch})


def test_a_batch_has_every_measurement_but_the_usage_of_processors_which_needs_a_batch_before(machine: Path) -> None:
    bench = Bench(machine)
    first = bench.batch()
    (machine / "proc/stat").write_text(LATER)
    second = bench.batch()
    bench.close()
    rest = ["disk", "diskio", "machine", "mem", "net", "processes", "swap", "system", "temp"]
    assert names(first) == rest
    assert names(second) == ["cpu", *rest]
    assert bench.said == []


def test_tags_are_those_of_the_native_inputs(machine: Path) -> None:
    bench = Bench(machine)
    found = bench.batch()
    bench.close()
    disk = {"device": "mmcblk0p2", "fstype": "ext4", "mode": "rw", "path": "/", "label": "rootfs"}
    for series in (
        Series("disk", disk),
        Series("diskio", {"name": "mmcblk0"}),
        Series("net", {"interface": "eth0"}),
        Series("temp", {"sensor": "cpu_thermal"}),
    ):
        assert series in found
    assert len([series for series in found if series.measurement in ("disk", "diskio", "net", "temp")]) == 4


def test_a_batch_has_one_time(machine: Path) -> None:
    bench = Bench(machine)
    assert {metric.time_ns for metric in bench.batch().values()} == {1_000}
    bench.close()


def collector_of(part: system.Part, said: list[str], watch: Callable[[], None]) -> system.System:
    reads = SlowReads(lambda: 0, lambda: 0.0)
    return system.System((part,), (), reads, system.Errors(said.append), lambda: 1_000, watch, once=True)


def test_a_one_shot_run_watches_the_processors_for_a_while_and_has_their_usage(machine: Path) -> None:
    watched: list[str] = []

    def watch() -> None:
        watched.append("watched")
        (machine / "proc/stat").write_text(LATER)

    part = system.cpu.Cpu(str(machine / "proc"), watched.append)
    found = {metric.series.tags["cpu"]: metric.fields for metric in collector_of(part, watched, watch).collect()}
    assert watched == ["watched"]
    assert list(found) == ["cpu-total", "cpu0", "cpu1"]
    assert found["cpu-total"]["usage_user"] == pytest.approx(50)


def test_a_one_shot_run_does_not_wait_where_nothing_is_compared(machine: Path) -> None:
    said: list[str] = []
    part = system.processes.Processes(str(machine / "proc"), said.append, said.append)
    assert len(list(collector_of(part, said, lambda: said.append("waited")).collect())) == 1
    assert said == []


def test_a_broken_line_is_counted_once_in_a_one_shot_run_that_reads_it_twice(machine: Path) -> None:
    with (machine / "proc/diskstats").open("a") as file:
        file.write(" 179 1 mmcblk0p1 7 7 7 7\n")
    bench = Bench(machine, cpu_sample_seconds=0.001)
    bench.batch()
    bench.close()
    assert bench.report.errors == 1
    assert bench.said == [
        "E! system: diskio: /proc/diskstats has b' 179 1 mmcblk0p1 7 7 7 7' where counters were expected"
    ]


#: The parts lost with a part's file, where that is not the part: swap needs meminfo, too, and system has other files.
LOST: dict[str, set[str]] = {"mem": {"mem", "swap"}, "system": set()}


@pytest.mark.parametrize(
    ("file", "part", "words"),
    [
        ("proc/meminfo", "mem", "cannot be read: No such file or directory"),
        ("proc/net/dev", "net", "cannot be read: No such file or directory"),
        ("proc/diskstats", "diskio", "cannot be read: No such file or directory"),
        ("proc/loadavg", "system", "cannot be read: No such file or directory"),
        ("proc/1/mountinfo", "disk", "cannot be read: No such file or directory"),
    ],
)
def test_a_part_that_fails_is_counted_in_one_sentence_and_the_others_go_on(
    machine: Path, file: str, part: str, words: str
) -> None:
    whole = Bench(machine)
    expected = set(names(whole.batch())) - LOST.get(part, {part})
    whole.close()
    (machine / file).unlink()
    bench = Bench(machine)
    assert set(names(bench.batch())) == expected
    bench.close()
    assert any(line.startswith(f"E! system: {part}: ") and line.endswith(words) for line in bench.said)
    assert bench.report.errors == len(bench.said)


def test_a_batch_fails_if_every_part_fails(machine: Path) -> None:
    (machine / "proc/meminfo").unlink()
    (machine / "proc/1/mountinfo").unlink()
    (machine / "proc/net/dev").unlink()
    bench = Bench(machine, parts="mem,disk,net")
    with pytest.raises(Unavailable, match="none of its parts"):
        bench.batch()
    bench.close()
    assert bench.report.errors == 3


def test_only_the_parts_that_are_asked_for_are_read(machine: Path) -> None:
    bench = Bench(machine, parts="temp, mem")
    assert names(bench.batch()) == ["mem", "temp"]
    bench.close()


@pytest.mark.parametrize(("parts", "words"), [("mem,fan", "'fan', which is not a part"), (" , ", "parts is empty")])
def test_a_part_that_there_is_not_keeps_the_collector_from_starting(machine: Path, parts: str, words: str) -> None:
    with pytest.raises(Unavailable, match=words):
        Bench(machine, parts=parts)


def test_without_proc_the_collector_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="use Telegraf's own inputs"):
        Bench(tmp_path / "elsewhere")


def test_file_systems_of_the_types_named_are_left_out(machine: Path) -> None:
    bench = Bench(machine, parts="disk,mem", ignore_fs="ext4,tmpfs")
    assert names(bench.batch()) == ["mem"]
    bench.close()


@pytest.mark.parametrize("once", [True, False])
def test_the_machine_that_this_runs_on_has_what_every_machine_has(once: bool) -> None:
    said: list[str] = []
    context = Context(Values({"cpu_sample_seconds": 0.05}), ErrorReporter("system", said.append), once, "pi", lambda: 1)
    collector = system.create(context)
    metrics = [metric for metric in collector.collect() if metric is not PAUSE]
    found = [metric for metric in metrics if not list(violations(metric, system.MEASUREMENTS))]
    collector.close()
    assert {metric.series.measurement for metric in found} >= {"mem", "swap", "system", "processes"}
    (processes,) = (metric.fields for metric in found if metric.series.measurement == "processes")
    states = set(processes) - {"total", "total_threads"}
    total = processes["total"]
    assert isinstance(total, int)
    assert total >= 1
    assert total == sum(value for name in states if isinstance(value := processes[name], int))


def test_users_are_read_again_only_when_their_record_has_changed(tmp_path: Path) -> None:
    record = tmp_path / "utmp"
    asked: list[int] = []

    def sessions() -> list[str]:
        asked.append(1)
        return ["pi", "pi", "alex"]

    users = system.host.Users(str(record), sessions)
    assert users.fields() == {}
    record.write_bytes(b"x")
    assert users.fields() == users.fields() == {"n_users": 3, "n_unique_users": 2}
    assert len(asked) == 1
    os.utime(record, ns=(1, 1))
    users.fields()
    assert len(asked) == 2


def test_hotplugged_processors_are_counted(machine: Path) -> None:
    users = system.host.Users(str(machine / "none"), list)
    part = system.host.Host(str(machine / "proc"), str(machine / "sys"), users, print)

    def counted() -> tuple[object, object]:
        (metric,) = part.read(0)
        return metric.fields["n_cpus"], metric.fields["n_physical_cpus"]

    assert counted() == (2, 2)
    write(machine / "sys/devices/system/cpu", {"online": "0-2\n", "cpu2/topology/core_cpus_list": "1-2\n"})
    (machine / "sys/devices/system/cpu/cpu1/topology/core_cpus_list").write_text("1-2\n")
    assert counted() == (3, 2)


def test_the_interval_is_the_time_since_the_sample_before(machine: Path) -> None:
    users = system.host.Users(str(machine / "none"), list)
    part = system.host.Host(str(machine / "proc"), str(machine / "sys"), users, print)

    def interval(uptime: str) -> object:
        (machine / "proc/uptime").write_text(f"{uptime} 0.00\n")
        (metric,) = part.read(0)
        return metric.fields.get("interval_seconds")

    assert [interval(uptime) for uptime in ("100.00", "110.04", "1910.04", "1910.04")] == [None, 10.0, 1800.0, None]


def test_each_boot_has_an_opaque_number(tmp_path: Path) -> None:
    boot_id = tmp_path / "boot_id"
    assert system.host.boot_number(str(boot_id)) == {}
    numbers = set()
    for text in ("3f0c6c1e-52a1-4c07-9d0a-5b9c7b1c1f6a", "7cdd6a9e-0a11-4e6a-8a3c-b9d5c6a4f0e2"):
        boot_id.write_text(f"{text}\n")
        number = system.host.boot_number(str(boot_id))["boot_number"]
        assert system.host.MEASUREMENT.field("boot_number").admits(number)
        assert number == system.host.boot_number(str(boot_id))["boot_number"]
        numbers.add(number)
    assert len(numbers) == 2


def test_a_field_of_system_fails_only_if_its_file_does(machine: Path) -> None:
    (machine / "proc/uptime").write_text("soon\n")
    (machine / "sys/devices/system/cpu/online").write_text("all\n")
    bench = Bench(machine, parts="system")
    (metric,) = bench.batch().values()
    bench.close()
    assert metric.fields == {"load1": 0.1, "load5": 0.2, "load15": 0.3}
    assert bench.said == [
        f"E! system: system: {machine}/sys/devices/system/cpu/online has 'all' where processors were expected",
        f"E! system: system: {machine}/proc/uptime has b'soon\\n' where seconds were expected",
    ]


@pytest.mark.parametrize("text", ["-1.00 0.00", "inf 0.00", "nan 0.00", "9" * 40, "1e300 0"])
def test_an_uptime_that_cannot_be_is_counted_and_costs_itself(text: str, machine: Path) -> None:
    (machine / "proc/uptime").write_text(f"{text}\n")
    bench = Bench(machine, parts="system")
    (metric,) = bench.batch().values()
    bench.close()
    assert metric.fields["load1"] == 0.1
    assert not {"uptime", "uptime_format", "interval_seconds"} & metric.fields.keys()
    assert len(bench.said) == 1
    assert "where seconds were expected" in bench.said[0]


class Sources:
    """A slow part whose sources answer when the test says so."""

    name = "slow"
    patience = 30.0

    def __init__(self, *names: str) -> None:
        self.held = {name: threading.Event() for name in names}
        self.late: list[Hashable] = []

    def reads(self) -> dict[Hashable, Read]:
        return {name: event.wait for name, event in self.held.items()}

    def metrics(self, answers: Mapping[Hashable, Answer], late: Collection[Hashable], now: int) -> Iterator[Metric]:
        self.late = list(late)
        for name, answer in answers.items():
            yield Metric(Series("slow", {"name": str(name)}), {"value": 1}, answer.time(now))


class Quick:
    """A part that answers at once."""

    name = "quick"
    compares = False

    def read(self, now: int) -> list[Metric]:
        return [Metric(Series("quick"), {"value": 1}, now)]


def slow_system(sources: Sources, *, once: bool) -> system.System:
    reads = SlowReads(lambda: 2_000, time.monotonic)
    return system.System((Quick(),), (sources,), reads, system.Errors(pytest.fail), lambda: 1_000, None, once=once)


@pytest.mark.parametrize("once", [True, False])
def test_quick_parts_are_written_before_the_batch_waits_for_slow_ones(once: bool) -> None:
    sources = Sources("nas", "sensor")
    collector = slow_system(sources, once=once)
    batch = iter(collector.collect())
    assert next(batch).series.measurement == "quick"
    assert next(batch) is PAUSE, "the runner writes the quick part here, while both sources still hang"
    for event in sources.held.values():
        event.set()
    # Slow answers have the time at which they came.
    assert {(metric.series.tags["name"], metric.time_ns) for metric in batch} <= {
        (name, when) for name in ("nas", "sensor") for when in (1_000, 2_000)
    }
    collector.close()


def test_a_source_that_hangs_delays_no_later_batch_and_comes_with_the_batch_after_its_answer() -> None:
    sources = Sources("nas")
    sources.patience = 0.1
    collector = slow_system(sources, once=False)
    assert [metric for metric in collector.collect() if metric is not PAUSE] == Quick().read(1_000)
    for _ in range(3):  # it is not read again, and nothing waits for it
        assert list(collector.collect()) == Quick().read(1_000)
    sources.held["nas"].set()
    found: list[Metric] = []
    while not found:  # its thread runs when the machine lets it
        found = [metric for metric in collector.collect() if metric.series.measurement == "slow"]
    collector.close()
    assert [(metric.series.tags["name"], metric.time_ns) for metric in found] == [("nas", 2_000)]


def test_a_one_shot_run_waits_for_each_part_as_long_as_its_own_patience_allows() -> None:
    """A disk that hangs does not make the run wait as long as a sensor may take."""
    hung, other = Sources("nas"), Sources()
    hung.patience, other.patience = 0.1, 3600.0
    reads = SlowReads(lambda: 2_000, time.monotonic)
    parts = (other, hung)
    collector = system.System((Quick(),), parts, reads, system.Errors(pytest.fail), lambda: 1_000, None, once=True)
    assert [metric for metric in collector.collect() if metric is not PAUSE] == Quick().read(1_000)
    assert hung.late == ["nas"]
    hung.held["nas"].set()
    collector.close()


def test_a_source_without_an_answer_is_late_after_its_patience() -> None:
    sources = Sources("nas")
    sources.patience = 0.0
    collector = slow_system(sources, once=False)
    list(collector.collect())
    assert sources.late == ["nas"]
    sources.held["nas"].set()
    collector.close()
