"""What the parts of ``system`` make of what the kernel writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collectors.system import cpu, diskio, files, host, memory, network, processes, temperature


def test_a_file_that_opens_but_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Is a directory") as caught:
        files.read(str(tmp_path))
    assert files.sentence(caught.value) == f"{tmp_path} cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("error", "words"),
    [(ValueError("no line"), "no line"), (ValueError(), "ValueError: "), (KeyError("a"), "KeyError: 'a'")],
)
def test_an_error_is_said_in_words(error: Exception, words: str) -> None:
    assert files.sentence(error) == words


def times(**ticks: int) -> list[int]:
    states = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
    return [ticks.get(state, 0) for state in states]


def test_usage_is_the_share_of_the_ticks_between_two_samples() -> None:
    fields = cpu.usage(times(user=10, idle=100), times(user=40, idle=160, steal=10))
    assert fields is not None
    assert (fields["usage_user"], fields["usage_idle"], fields["usage_steal"]) == (30, 60, 10)


def test_guests_are_counted_within_user_and_not_twice() -> None:
    fields = cpu.usage(times(), times(user=60, guest=20, nice=40, guest_nice=40))
    assert fields is not None
    assert (fields["usage_user"], fields["usage_guest"]) == (40, 20)
    assert (fields["usage_nice"], fields["usage_guest_nice"]) == (0, 40)
    assert sum(fields.values()) == 100


def test_a_state_that_goes_back_counts_as_nothing_and_the_rest_still_adds_up() -> None:
    fields = cpu.usage(times(iowait=10), times(iowait=7, idle=50, user=50))
    assert fields is not None
    assert fields["usage_iowait"] == 0
    assert sum(fields.values()) == 100


def test_no_time_passed_is_no_usage() -> None:
    assert cpu.usage(times(idle=5), times(idle=5)) is None


def test_old_kernels_have_fewer_states() -> None:
    assert cpu.parse_times(b"cpu 1 2 3 4\n") == {"cpu-total": times(user=1, nice=2, system=3, idle=4)}


@pytest.mark.parametrize("content", [b"", b"intr 5\n", b"cpu a b c d\n"])
def test_a_stat_file_without_times_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="/proc/stat"):
        cpu.parse_times(content)


def test_a_processor_is_measured_from_its_second_sample_on_and_its_absence_is_none(tmp_path: Path) -> None:
    said: list[str] = []
    stat = tmp_path / "stat"
    part = cpu.Cpu(str(tmp_path), said.append)

    def measured(text: str) -> list[str]:
        stat.write_text(text)
        return [metric.series.tags["cpu"] for metric in part.read(0)]

    assert measured("cpu 0 0 0 10\ncpu0 0 0 0 10\n") == []
    assert measured("cpu 0 0 0 30\ncpu0 0 0 0 20\ncpu1 0 0 0 10\n") == ["cpu-total", "cpu0"]
    assert measured("cpu 0 0 0 50\ncpu0 0 0 0 30\ncpu1 0 0 0 20\n") == ["cpu-total", "cpu0", "cpu1"]
    assert measured("cpu 0 0 0 60\ncpu0 0 0 0 40\n") == ["cpu-total", "cpu0"]
    assert said == []


def test_times_that_go_back_are_counted_and_give_no_usage(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "stat").write_text("cpu 50 0 0 50\ncpu0 50 0 0 50\n")
    part = cpu.Cpu(str(tmp_path), said.append)
    part.read(0)
    (tmp_path / "stat").write_text("cpu 60 0 0 60\ncpu0 1 0 0 1\n")
    assert [metric.series.tags["cpu"] for metric in part.read(0)] == ["cpu-total"]
    assert said == ["cpu: the times of cpu0 went back, so it has no usage in this batch"]


MEMINFO = b"MemTotal: 1000 kB\nMemFree: 300 kB\nMemAvailable: 600 kB\nCached: 200 kB\nSReclaimable: 50 kB\n"
SWAPINFO = b"SwapTotal: 400 kB\nSwapFree: 100 kB\n"


def test_memory_used_is_what_is_not_available() -> None:
    fields = memory.memory(memory.parse_meminfo(MEMINFO + SWAPINFO + b"HugePages_Total: 3\nHugepagesize: 2048 kB\n"))
    assert fields["used"] == 400 * 1024
    assert (fields["used_percent"], fields["available_percent"]) == (40, 60)
    assert fields["cached"] == 250 * 1024
    assert (fields["huge_pages_total"], fields["huge_page_size"]) == (3, 2 * 1024 * 1024)


def test_memory_that_a_kernel_was_built_without_is_known_to_be_none() -> None:
    assert memory.memory(memory.parse_meminfo(MEMINFO + SWAPINFO))["high_total"] == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (MEMINFO, "no line SwapTotal"),
        (b"MemTotal 5\nMemTotal: much kB\n", "a name and a number"),
        (b"\n" + MEMINFO, "a name and a number"),
        (MEMINFO.replace(b"1000", b"0") + SWAPINFO, "no memory at all"),
    ],
)
def test_a_meminfo_that_lacks_what_every_kernel_has_is_an_error(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        memory.parse_meminfo(content)


def test_swap_moves_in_pages_of_the_machine() -> None:
    found = memory.parse_meminfo(MEMINFO + SWAPINFO)
    vmstat = b"nr_free_pages 1\npswpin 2\npswpout 3\n"
    small, large = (memory.swap(found, vmstat, size) for size in (4096, 16384))
    assert (small["in"], small["out"], large["in"]) == (8192, 12288, 32768)
    assert (small["used"], small["used_percent"]) == (300 * 1024, 75)


def test_no_swap_space_is_none_used() -> None:
    fields = memory.swap(memory.parse_meminfo(MEMINFO + b"SwapTotal: 0 kB\nSwapFree: 0 kB\n"), b"", 4096)
    assert fields == {"total": 0, "used": 0, "free": 0, "used_percent": 0.0, "in": 0, "out": 0}


DISKSTATS = b" 179 0 mmcblk0 100 5 2000 50 40 2 800 70 1 90 120 0 0 0 0 0 0\n"


def test_sectors_become_bytes_and_devices_never_used_are_left_out() -> None:
    found = diskio.parse_diskstats(b"   1 0 ram0 0 0 0 0 0 0 0 0 0 0 0\n" + DISKSTATS)
    assert list(found) == ["mmcblk0"]
    assert found["mmcblk0"] == {
        "reads": 100,
        "merged_reads": 5,
        "read_bytes": 2000 * 512,
        "read_time": 50,
        "writes": 40,
        "merged_writes": 2,
        "write_bytes": 800 * 512,
        "write_time": 70,
        "iops_in_progress": 1,
        "io_time": 90,
        "weighted_io_time": 120,
    }


@pytest.mark.parametrize("line", [b"179 0 mmcblk0 1 2 3", b"179 0 mmcblk0 a b c d e f g h i j k"])
def test_a_diskstats_line_that_is_none_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match="/proc/diskstats"):
        diskio.parse_diskstats(line)


def test_activity_is_that_between_two_samples() -> None:
    before = diskio.parse_diskstats(DISKSTATS)["mmcblk0"]
    after = {**before, "reads": 102, "writes": 42, "read_time": 60, "write_time": 80, "io_time": 140}
    assert diskio.activity(before, after, 2.0) == {"io_await": 5, "io_svctm": 12.5, "io_util": 2.5}
    assert diskio.activity(before, before, 2.0) == {"io_util": 0}


def test_counters_that_go_back_have_no_activity() -> None:
    before = diskio.parse_diskstats(DISKSTATS)["mmcblk0"]
    assert diskio.activity(before, {**before, "reads": 1}, 2.0) == {}


def test_a_disk_that_comes_back_begins_anew_with_its_own_identifier(tmp_path: Path) -> None:
    clock = iter(range(10))
    (tmp_path / "block/sda").mkdir(parents=True)
    wwid = tmp_path / "block/sda/wwid"
    part = diskio.DiskIo(str(tmp_path), str(tmp_path), lambda: next(clock))
    line = "8 0 sda 100 5 2000 50 40 2 800 70 1 90 120\n"
    found = []
    for identifier, text in (("one\n", line), ("one\n", line), ("two\n", ""), ("two\n", line)):
        wwid.write_text(identifier)
        (tmp_path / "diskstats").write_text(text)
        found.append([(metric.series.tags["wwid"], "io_util" in metric.fields) for metric in part.read(0)])
    assert found == [[("one", False)], [("one", True)], [], [("two", False)]]


HEAD = b"Inter-| Receive\n face |bytes\n"


def test_interfaces_may_have_a_colon_in_their_name() -> None:
    found = network.parse_interfaces(HEAD + b"eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
    assert found["eth0:1"] == {
        "bytes_recv": 1,
        "packets_recv": 2,
        "err_in": 3,
        "drop_in": 4,
        "bytes_sent": 9,
        "packets_sent": 10,
        "err_out": 11,
        "drop_out": 12,
    }


@pytest.mark.parametrize("line", [b"eth0: 1 2 3\n", b"nonsense\n", b"eth0: a b c d e f g h i j k l m\n"])
def test_an_interface_without_its_counters_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match="/proc/net/dev"):
        network.parse_interfaces(HEAD + line)


def test_interfaces_that_are_down_or_gone_or_loopback_are_left_out(tmp_path: Path) -> None:
    counters = b" 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
    (tmp_path / "net").mkdir()
    (tmp_path / "net/dev").write_bytes(HEAD + b"".join(name + b":" + counters for name in (b"a", b"b", b"c", b"d")))
    for name, flags in (("a", "0x1003"), ("b", "0x1002"), ("c", "0x9")):
        (tmp_path / "class/net" / name).mkdir(parents=True)
        (tmp_path / "class/net" / name / "flags").write_text(flags)
    (metric,) = network.Net(str(tmp_path), str(tmp_path)).read(0)
    assert metric.series.tags == {"interface": "a"}
    assert metric.fields["speed"] == -1


def process(pid: int, name: str, state: str, threads: int) -> str:
    return f"{pid} ({name}) {state} 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 9 0 0 18446744073709551615"


def test_processes_are_counted_by_state_whatever_they_call_themselves(tmp_path: Path) -> None:
    states = ["R", "S", "S", "D", "Z", "X", "T", "t", "I", "P", "P", "?"]
    for pid, state in enumerate(states, 1):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(process(pid, f"a) {state} (b", state, 2))
    (tmp_path / "self").mkdir()
    (tmp_path / "99").mkdir()  # it ended before its file was read
    assert processes.count(str(tmp_path)) == {
        "total": 12,
        "total_threads": 24,
        "running": 1,
        "sleeping": 2,
        "blocked": 1,
        "zombies": 1,
        "dead": 1,
        "stopped": 2,
        "idle": 1,
        "parked": 2,
        "unknown": 1,
        "paging": 0,
    }


def test_a_process_without_its_threads_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text("7 (cut) S 1 1")
    with pytest.raises(ValueError, match="7/stat"):
        processes.count(str(tmp_path))


def test_counting_processes_leaves_no_file_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text("broken")
    with pytest.raises(ValueError, match="7/stat"):
        processes.count(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59, " 0:00"), (3_600, " 1:00"), (86_399, "23:59"), (86_400, "1 day,  0:00"), (273_900, "3 days,  4:05")],
)
def test_uptime_is_written_as_the_native_input_writes_it(seconds: int, text: str) -> None:
    assert host.format_uptime(seconds) == text


@pytest.mark.parametrize(("ranges", "number"), [("0", 1), ("0-3", 4), ("0-1,4,6-7", 5)])
def test_ranges_of_processors_are_counted(ranges: str, number: int) -> None:
    assert host.count_cpus(ranges) == number


def sensor(root: Path, number: int, **files: str) -> Path:
    folder = root / f"class/hwmon/hwmon{number}"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def read_temperatures(root: Path) -> tuple[dict[str, object], list[str]]:
    said: list[str] = []
    metrics = temperature.Temp(str(root), said.append).read(0)
    return {metric.series.tags["sensor"]: metric.fields["temp"] for metric in metrics}, said


def test_sensors_go_by_name_and_label(tmp_path: Path) -> None:
    sensor(tmp_path, 0, name="nvme\n", temp1_input="38850\n", temp1_label="Composite\n", temp1_crit="84850\n")
    sensor(tmp_path, 1, name="coretemp\n", temp2_input="-5000\n", temp2_label="Core 0\n")
    sensor(tmp_path, 2, name="cpu_thermal\n", temp1_input="51000\n", fan1_input="3000\n")
    found, said = read_temperatures(tmp_path)
    assert found == {"nvme_composite": 38.85, "coretemp_core_0": -5.0, "cpu_thermal": 51.0}
    assert said == []


def test_a_sensor_without_a_name_goes_by_its_device_and_old_drivers_are_looked_for_further_down(tmp_path: Path) -> None:
    device = tmp_path / "devices/lm75"
    device.mkdir(parents=True)
    (device / "temp1_input").write_text("20000\n")
    (device / "name").write_text("lm75\n")
    sensor(tmp_path, 0).joinpath("device").symlink_to(device)
    assert read_temperatures(tmp_path) == ({"lm75": 20.0}, [])
    sensor(tmp_path, 1, temp1_input="21000\n").joinpath("device").symlink_to(device)
    assert read_temperatures(tmp_path) == ({"lm75": 21.0}, [])


def test_thermal_zones_are_read_only_where_no_sensor_answers(tmp_path: Path) -> None:
    zone = tmp_path / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("45000\n")
    assert read_temperatures(tmp_path) == ({"cpu-thermal": 45.0}, [])
    sensor(tmp_path, 0, name="cpu_thermal\n", temp1_input="45500\n")
    assert read_temperatures(tmp_path) == ({"cpu_thermal": 45.5}, [])


def test_a_reading_that_is_no_number_is_counted_and_is_not_0(tmp_path: Path) -> None:
    sensor(tmp_path, 0, name="a\n", temp1_input="\n")
    folder = sensor(tmp_path, 1, name="b\n", temp2_input="30000\n")
    (folder / "temp1_input").mkdir()
    found, said = read_temperatures(tmp_path)
    assert found == {"b": 30.0}
    assert [line.split(" ", 2)[2] for line in said] == [
        "has b'\\n' where thousandths of a degree were expected",
        "cannot be read: Is a directory",
    ]


def test_no_sensor_at_all_is_no_error(tmp_path: Path) -> None:
    assert read_temperatures(tmp_path) == ({}, [])
