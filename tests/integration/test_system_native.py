"""The collector ``system`` and Telegraf's native inputs in one Telegraf: the same names, types and values.

Both snippets are the ones that ship. They gather at the same moments, so that slowly changing values are equal except
for events in the milliseconds in between.

:data:`BEYOND_PSUTIL` lists the fields of the native inputs that psutil cannot provide; the collector reads them from
the kernel, so that no field is left that only the native inputs emit: :data:`NATIVE_ONLY` is empty.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psutil
import pytest

from collectors.core.line_protocol import FieldValue
from collectors.core.line_protocol_parser import decode
from collectors.system import MEASUREMENTS
from sensetig import bundle

pytestmark = [pytest.mark.engines, pytest.mark.serial]

NATIVE, OURS = "native", "collector"
BATCHES = 6
SECONDS_AT_MOST = 300

#: Fields of the native inputs that psutil does not have, and why; the collector emits each of them.
BEYOND_PSUTIL = {
    ("mem", "virtual_memory"): (
        "psutil reports 11 numbers of memory, the same on every system; these are Linux's own, from /proc/meminfo",
        {
            *("commit_limit", "committed_as", "dirty", "high_free", "high_total", "huge_page_size", "huge_pages_free"),
            *("huge_pages_total", "low_free", "low_total", "mapped", "page_tables", "sreclaimable", "sunreclaim"),
            *("swap_cached", "vmalloc_chunk", "vmalloc_total", "vmalloc_used", "write_back", "write_back_tmp"),
        },
    ),
    ("diskio", "disk_io_counters"): (
        "psutil skips the columns of /proc/diskstats for the requests in progress",
        {"iops_in_progress", "weighted_io_time"},
    ),
    ("disk", "disk_usage"): (
        "psutil does not pass on what statvfs says of inodes",
        {"inodes_total", "inodes_free", "inodes_used", "inodes_used_percent"},
    ),
}

#: Fields that only the native inputs emit, with the reason.
NATIVE_ONLY: dict[tuple[str, str], str] = {}

#: Fields that are there only when something happened between two batches, which one side may see and the other not.
OCCASIONAL = {("diskio", "io_await"), ("diskio", "io_svctm"), ("processes", "parked")}

#: Measurements that no native input has.
OWN_MEASUREMENTS = {"collector", "machine"}

#: Fields that only the collector has.
OURS_ONLY = {("system", "interval_seconds"), ("system", "boot_number")}

#: How far the median of the differences may lie from 0: a share of the value, and in the field's unit.
TOLERANCES: dict[tuple[str, str], tuple[float, float]] = {
    ("cpu", "*"): (0, 20),  # points of percent: a tick is 10 ms, and the two look at their second ms apart
    ("mem", "total"): (0, 0),
    ("mem", "huge_page_size"): (0, 0),
    ("mem", "swap_total"): (0, 0),
    ("mem", "vmalloc_total"): (0, 0),
    ("mem", "commit_limit"): (0, 0),
    ("mem", "used_percent"): (0, 5),
    ("mem", "available_percent"): (0, 5),
    ("mem", "*"): (0.1, 64e6),
    ("swap", "total"): (0, 0),
    ("swap", "*"): (0.1, 16e6),
    ("disk", "total"): (0, 0),
    ("disk", "inodes_total"): (0, 0),
    ("disk", "*"): (0.01, 64e6),
    ("diskio", "io_util"): (0, 50),
    ("diskio", "io_await"): (1, 100),
    ("diskio", "io_svctm"): (1, 100),
    ("diskio", "iops_in_progress"): (0, 64),
    ("diskio", "*"): (0.01, 64e6),
    ("net", "speed"): (0, 0),
    ("net", "*"): (0.01, 1e6),
    ("system", "load*"): (0, 0.5),
    ("system", "uptime"): (0, 2),
    ("system", "*"): (0, 0),
    ("processes", "*"): (0.2, 8),
    ("temp", "*"): (0, 5),
}

#: Measurements of every machine; a virtual machine may lack sensors, and a container may lack disks and networks.
EVERYWHERE = {"cpu", "mem", "swap", "system", "processes"}

Key = tuple[str, frozenset[tuple[str, str]]]
Samples = dict[Key, dict[str, list[tuple[int, FieldValue]]]]


def tagged(text: str, source: str) -> str:
    """A snippet whose inputs say where their points come from."""
    inputs = [line.strip("[] ") for line in text.splitlines() if line.startswith("[[inputs.")]
    return text + "".join(f'\n[{name}.tags]\n  source = "{source}"\n' for name in inputs)


def lines_of(command: list[str], environment: dict[str, str]) -> Iterator[str]:
    """The lines that a Telegraf writes, while they are wanted and for as long as it may take."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    overdue = threading.Timer(SECONDS_AT_MOST, process.kill)
    overdue.start()
    try:
        assert process.stdout is not None
        yield from process.stdout
    finally:
        overdue.cancel()
        process.terminate()
        _, errors = process.communicate(timeout=120)
        sys.stderr.write(errors)


@pytest.fixture(scope="module")
def both(telegraf: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Samples]:
    """The samples of each source over some batches: source to series to field to its values with their times."""
    folder = tmp_path_factory.mktemp("native")
    configuration = {
        "agent.conf": '[agent]\n  interval = "1s"\n  flush_interval = "1s"\n  precision = "1ns"\n'
        "  omit_hostname = true\n  skip_processors_after_aggregators = true\n"
        '[[outputs.file]]\n  files = ["stdout"]\n  data_format = "influx"\n',
        "native.conf": tagged((bundle.root() / "telegraf/alternatives/system-native.conf").read_text(), NATIVE),
        "collector.conf": tagged((bundle.root() / "telegraf/telegraf.d/system.conf").read_text(), OURS),
    }
    command = [str(telegraf), "--quiet"]
    for name, text in configuration.items():
        (folder / name).write_text(text)
        command += ["--config", str(folder / name)]
    environment = {**os.environ, "SENSETIG_PYTHON": sys.executable, "SENSETIG_INTERVAL": "1s"}
    found: dict[str, Samples] = {NATIVE: {}, OURS: {}}
    # cpu is the one that comes a batch late on both sides.
    seen = {NATIVE: 0, OURS: 0}
    for line in lines_of(command, environment):
        metric = decode(line)
        tags = dict(metric.series.tags)
        source = tags.pop("source")
        assert metric.time_ns is not None
        series = found[source].setdefault((metric.series.measurement, frozenset(tags.items())), {})
        for name, value in metric.fields.items():
            series.setdefault(name, []).append((metric.time_ns, value))
        if metric.series.measurement == "cpu" and tags["cpu"] == "cpu-total":
            seen[source] += 1
            # Disk activity, so that the counters of requests can be compared.
            with (folder / "written").open("ab") as file:
                file.write(os.urandom(65536))
                file.flush()
                os.fsync(file.fileno())
        if min(seen.values()) >= BATCHES:
            return found
    pytest.fail(f"Telegraf ended, or was ended, after {seen} batches with processors in {SECONDS_AT_MOST} s")


def fields_of(samples: Samples) -> dict[tuple[str, str], type]:
    """Measurement and field to the one type that all its values have."""
    found: dict[tuple[str, str], type] = {}
    for (measurement, _), fields in samples.items():
        for name, values in fields.items():
            for _, value in values:
                assert found.setdefault((measurement, name), type(value)) is type(value), (measurement, name)
    return found


def test_both_emit_the_same_series(both: dict[str, Samples]) -> None:
    ours = {key for key in both[OURS] if key[0] not in OWN_MEASUREMENTS}
    assert ours == set(both[NATIVE])


def test_both_emit_the_same_fields_with_the_same_types(both: dict[str, Samples]) -> None:
    native, ours = fields_of(both[NATIVE]), fields_of(both[OURS])
    expected = {key: kind for key, kind in native.items() if key not in NATIVE_ONLY}
    found = {key: kind for key, kind in ours.items() if key[0] not in OWN_MEASUREMENTS and key not in OURS_ONLY}
    assert ours.keys() >= OURS_ONLY
    for key in OCCASIONAL:
        if key not in expected or key not in found:
            expected.pop(key, None)
            found.pop(key, None)
    assert found == expected


def test_every_field_that_the_native_inputs_emit_is_declared_with_its_type(both: dict[str, Samples]) -> None:
    declared = {(each.name, field.name): field.kind for each in MEASUREMENTS for field in each.fields}
    for key, kind in fields_of(both[NATIVE]).items():
        assert key in NATIVE_ONLY or declared.get(key) is kind, key


def test_what_psutil_cannot_know_is_emitted_all_the_same(both: dict[str, Samples]) -> None:
    known = {
        "virtual_memory": set(psutil.virtual_memory()._fields),
        "disk_io_counters": set(getattr(psutil.disk_io_counters(), "_fields", ())),
        "disk_usage": set(psutil.disk_usage("/")._fields),
    }
    emitted = fields_of(both[OURS])
    for (measurement, function), (reason, names) in BEYOND_PSUTIL.items():
        assert not names & known[function], f"psutil.{function} has caught up: {reason}"
        for name in names:
            if any(each == measurement for each, _ in emitted):
                assert (measurement, name) in emitted


def tolerance(measurement: str, name: str) -> tuple[float, float]:
    """How far a field may be off."""
    for pattern in (name, name.rstrip("0123456789") + "*", "*"):
        if (measurement, pattern) in TOLERANCES:
            return TOLERANCES[measurement, pattern]
    raise KeyError(f"{measurement} {name} has no tolerance")


def test_both_say_the_same_within_the_tolerance(both: dict[str, Samples]) -> None:
    compared = set()
    for (measurement, tags), fields in both[NATIVE].items():
        for name, values in fields.items():
            ours = both[OURS][measurement, tags].get(name)
            if ours is None:
                assert (measurement, name) in OCCASIONAL
                continue
            compared.add(measurement)
            if isinstance(values[0][1], str):
                # Hours and minutes: one of the two may just have passed a minute.
                assert {value for _, value in values} & {value for _, value in ours}
                continue
            relative, absolute = tolerance(measurement, name)
            differences = []
            for time, value in values:
                _, other = min(ours, key=lambda each: abs(each[0] - time))
                assert isinstance(value, (int, float))
                assert isinstance(other, (int, float))
                differences.append(abs(value - other) - max(absolute, relative * abs(value)))
            assert median(differences) <= 0, (measurement, name, dict(tags), values, ours)
    assert compared >= EVERYWHERE


def test_the_exec_form_gives_a_whole_batch_with_the_usage_of_the_processors(telegraf: Path, tmp_path: Path) -> None:
    snippet = (bundle.root() / "telegraf/telegraf.d/system.conf").read_text()
    commented = snippet[snippet.index("# [[inputs.exec]]") :]
    inputs = "\n".join(line.removeprefix("# ") for line in commented.splitlines())
    configuration = tmp_path / "exec.conf"
    configuration.write_text(
        '[agent]\n  precision = "1ns"\n  skip_processors_after_aggregators = true\n'
        f'[[outputs.file]]\n  files = ["stdout"]\n  data_format = "influx"\n{inputs}\n'
    )
    done = subprocess.run(
        [str(telegraf), "--quiet", "--once", "--config", str(configuration)],
        env={**os.environ, "SENSETIG_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    metrics = [decode(line) for line in done.stdout.splitlines()]
    names = {metric.series.measurement for metric in metrics}
    assert names >= EVERYWHERE
    (total,) = (metric for metric in metrics if metric.series.tags.get("cpu") == "cpu-total")
    assert sum(value for name, value in total.fields.items() if isinstance(value, float)) == pytest.approx(100)
